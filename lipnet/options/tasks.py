"""The options of ``task``, and of attacks."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from lipnet.options.checks import boolean, checked, number, one_of, optional, some_of, whole
from lipnet.options.conformal import Conformal
from lipnet.options.option import Named
from lipnet.options.posteriors import Bayes, Proof
from lipnet.options.readers import evaluation_keys, export_keys
from lipnet.options.registry import register, registered_by


@dataclass(frozen=True)
class Robustness(Named):
    select_by: str = checked(one_of("certified_accuracy", "certified_accuracy_per_pair", "clean_accuracy", "loss"))


# What a predictor is compared with; those that need River are marked.
OF_RIVER = ("snarimax", "holt_winters", "adaptive_tree")
BASELINES = ("last_value", "ridge", "network", *OF_RIVER)


@dataclass(frozen=True)
class Private(Robustness):
    """``task=private`` certifies as ``task=robustness`` does."""

    mode: str = checked(one_of("clip", "clipless"))
    target_epsilon: float | None = checked(optional(number(above=0)))
    delta: float = checked(number(above=0, below=1))
    noise_multiplier: float | None = checked(optional(number(above=0)))
    accountant: str = checked(one_of("pld", "rdp"))
    clip: float = checked(number(above=0))
    input_norm: float | None = checked(optional(number(above=0)))
    public_validation: bool = checked(boolean)
    noise_seed: int | None = checked(optional(whole(0)))


@dataclass(frozen=True)
class GanTraining(Named):
    critic_steps: int = checked(whole(1))
    samples_every: int = checked(whole(0))


@dataclass(frozen=True)
class Online(Named):
    aggregator: str = checked(one_of("weak", "hedge", "adahedge", "leader", "uniform"))
    rate: float = checked(number(above=0))
    window: int = checked(whole(1))
    updates: float = checked(number(at_least=0, at_most=100))
    examples: int = checked(whole(1))
    averaging: float = checked(number(at_least=0, below=1))
    penalty: float = checked(number(at_least=0))
    radius: float = checked(number(above=0))
    attack_every: int = checked(whole(0))
    baselines: list[str] = checked(some_of(BASELINES))


@dataclass(frozen=True)
class Export(Named):
    onnx: bool = checked(boolean)
    assured: bool = checked(boolean)


@dataclass(frozen=True)
class AttackMethod:
    """One name of ``attack.names``.

    Attributes:
        code: the attack, or it as ``module:name``: a function of model, images, labels and whatever else its arguments
            name: keys of ``attack``, ``generator``, and ``radius`` or, of one that looks for the nearest error,
            ``sought``.
        nearest: whether it looks for the nearest error, whatever the radius.
        package: the optional package that it needs.
        plugin: the module that registered it; empty: lipnet.
    """

    code: str | Callable[..., Any]
    nearest: bool = False
    package: str = ""
    plugin: str = ""


ATTACKS = {
    "fgsm": AttackMethod("lipnet.attacks.gradient:fgsm"),
    "pgd": AttackMethod("lipnet.attacks.gradient:pgd"),
    "ddn": AttackMethod("lipnet.attacks.minimal:ddn", nearest=True),
    "fgsm_paper": AttackMethod("lipnet.attacks.gradient:fgsm"),  # the paper's is one step from the image too
    "pgd_paper": AttackMethod("lipnet.attacks.gradient:pgd_paper"),
    "boundary": AttackMethod("lipnet.attacks.with_foolbox:boundary", nearest=True, package="foolbox"),
    "pointwise": AttackMethod("lipnet.attacks.with_foolbox:pointwise", nearest=True, package="foolbox"),
    "autoattack": AttackMethod("lipnet.attacks.with_autoattack:autoattack", package="pyautoattack"),
}
FOOLBOX_ATTACKS = tuple(name for name, method in ATTACKS.items() if method.package == "foolbox")
PACKAGES = {name: method.package for name, method in ATTACKS.items() if method.package}


def register_attack(name: str, code: str | Callable[..., Any], nearest: bool = False) -> None:
    """Adds a name to those of ``attack.names``; the arguments are those of ``AttackMethod``.

    Raises:
        ValueError: there is an attack of this name.
    """
    if name in ATTACKS:
        raise ValueError(f"the attack {name} is registered already, by {ATTACKS[name].plugin or 'lipnet'}")
    plugin = registered_by(sys._getframe(1).f_globals.get("__name__", ""))
    ATTACKS[name] = AttackMethod(code, nearest, plugin=plugin)


@dataclass(frozen=True)
class Attack:
    names: list[str] = checked(some_of(ATTACKS))
    steps: int = checked(whole(1))
    restarts: int = checked(whole(1))
    ddn_steps: int = checked(whole(1))
    examples: int | None = checked(optional(whole(1)))
    proved: float = checked(number(at_least=0, at_most=1))
    foolbox_examples: int = checked(whole(1))


_EVALUATION = (
    "eval_radii", "certify_dtype", *(f"attack.{field.name}" for field in fields(Attack)),
    *(f"conformal.{field.name}" for field in fields(Conformal)),
)  # fmt: skip

register(
    "task", "robustness", Robustness, "lipnet.tasks.robustness.task:Robustness", data="images", shared=True,
    reads=("attack", "certify_dtype", "eval_radii", "diagnostics", "conformal"),
    numbers="lipnet.tasks.robustness.results:numbers", evaluation=_EVALUATION,
)  # fmt: skip
register(
    "task", "wasserstein", code="lipnet.tasks.wasserstein.task:Wasserstein", data="pair", shared=True,
    reads=("estimate", "diagnostics"), numbers="lipnet.tasks.wasserstein.results:numbers",
    evaluation=("dataset.evaluation_samples", "estimate.confidence", "estimate.transport_samples"),
)  # fmt: skip
register(
    "task", "gan", GanTraining, "lipnet.tasks.gan.task:GenerativeAdversarial", data="images", losses=("kantorovich",),
    reads=("generator", "diagnostics"), network="lipnet.models:build_gan", numbers="lipnet.tasks.gan.results:numbers",
)  # fmt: skip
register(
    "task", "private", Private, "lipnet.tasks.private.task:Private", data="images",
    reads=("attack", "certify_dtype", "eval_radii", "conformal"), numbers="lipnet.tasks.private.results:numbers",
    evaluation=_EVALUATION, private=True,
)  # fmt: skip
register(
    "task", "online", Online, "lipnet.tasks.online.task:predict", data="stream", by_rounds=True,
    unread=("epochs", "batch_size", "amp", "averaging", "compile", "profile", "singular_values_every"),
    numbers="lipnet.tasks.online.results:numbers",
)  # fmt: skip
register(
    "task", "evaluate", code="lipnet.tasks.evaluate:evaluate", shared=True,
    changes=evaluation_keys, numbers="lipnet.tasks.results:numbers_of_evaluation",
)  # fmt: skip
register(
    "task", "export", Export, "lipnet.tasks.export:export",
    changes=export_keys, numbers="lipnet.tasks.results:numbers_of_export",
)  # fmt: skip
register(
    "task", "bayes", Bayes, "lipnet.tasks.bayes.task:Bayes", data="problem", reads=("inference", "proof"),
    network="lipnet.models.posterior:build_posterior", numbers="lipnet.tasks.bayes.results:numbers",
    evaluation=tuple(f"proof.{field.name}" for field in fields(Proof)),
    unread=("epochs", "batch_size", "optimizer", "scheduler", "amp", "compile", "singular_values_every", "profile"),
)  # fmt: skip
