"""The options of ``task``, and of attacks."""

from dataclasses import dataclass, fields

from lipnet.options.checks import boolean, checked, number, one_of, optional, some_of, whole
from lipnet.options.option import Named
from lipnet.options.posteriors import Bayes, Proof
from lipnet.options.readers import evaluation_keys, export_keys
from lipnet.options.registry import register


@dataclass(frozen=True)
class Robustness(Named):
    select_by: str = checked(one_of("certified_accuracy", "certified_accuracy_per_pair", "clean_accuracy", "loss"))


@dataclass(frozen=True)
class GanTraining(Named):
    critic_steps: int = checked(whole(1))
    samples_every: int = checked(whole(0))


@dataclass(frozen=True)
class Export(Named):
    onnx: bool = checked(boolean)
    assured: bool = checked(boolean)


@dataclass(frozen=True)
class AttackMethod:
    """One name of ``attack.names``.

    Attributes:
        code: the attack as ``module:name``, a function of model, images, labels and whatever else its arguments name:
            keys of ``attack``, ``generator``, and ``radius`` or, of one that looks for the nearest error, ``sought``.
        nearest: whether it looks for the nearest error, whatever the radius.
        package: the optional package that it needs.
    """

    code: str
    nearest: bool = False
    package: str = ""


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
NEAREST_ATTACKS = tuple(name for name, method in ATTACKS.items() if method.nearest)
PACKAGES = {name: method.package for name, method in ATTACKS.items() if method.package}


@dataclass(frozen=True)
class Attack:
    names: list[str] = checked(some_of(*ATTACKS))
    steps: int = checked(whole(1))
    restarts: int = checked(whole(1))
    ddn_steps: int = checked(whole(1))
    examples: int | None = checked(optional(whole(1)))
    proved: float = checked(number(at_least=0, at_most=1))
    foolbox_examples: int = checked(whole(1))


register(
    "task", "robustness", Robustness, "lipnet.tasks.robustness.task:Robustness", data="images", shared=True,
    reads=("attack", "certify_dtype", "eval_radii"), numbers="lipnet.tasks.robustness.results:numbers",
    evaluation=("eval_radii", "certify_dtype", *(f"attack.{field.name}" for field in fields(Attack))),
)  # fmt: skip
register(
    "task", "wasserstein", code="lipnet.tasks.wasserstein.task:Wasserstein", data="pair", shared=True,
    reads=("estimate",), numbers="lipnet.tasks.wasserstein.results:numbers",
    evaluation=("dataset.evaluation_samples", "estimate.confidence", "estimate.transport_samples"),
)  # fmt: skip
register(
    "task", "gan", GanTraining, "lipnet.tasks.gan.task:GenerativeAdversarial", data="images", losses=("kantorovich",),
    reads=("generator",), network="lipnet.models:build_gan", numbers="lipnet.tasks.gan.results:numbers",
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
