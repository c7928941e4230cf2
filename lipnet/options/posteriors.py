"""What ``task=bayes`` reads: its keys, the ways of inference, and the data sets with constraints on outputs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lipnet.options.checks import boolean, checked, list_of, number, one_of, optional, whole
from lipnet.options.constraints import constraints, problems_of
from lipnet.options.facts import image_facts
from lipnet.options.option import Named
from lipnet.options.registry import GROUPS, Option, is_for, names_for, register

NEAR = 2.0  # of ``spread``: how far from a curve an output is no longer near it


@dataclass(frozen=True)
class Bayes(Named):
    deviation: float = checked(number(above=0))
    lipschitz: float | None = checked(optional(number(above=0)))
    prior: str = checked(one_of("constrained", "amortised"))
    amortised_iterations: int = checked(whole(1))
    amortised_rate: float = checked(number(above=0))
    tightening: float = checked(number(above=0))
    unconstrained: bool = checked(boolean)


@dataclass(frozen=True)
class Proof:
    unproved: str = checked(one_of("auto", "reject", "reweight", "keep"))
    cells: int = checked(whole(1))
    attack_steps: int = checked(whole(0))
    attack_starts: int = checked(whole(1))


@dataclass(frozen=True)
class Inference(Named):
    """How a posterior is sampled.

    Attributes:
        members: how many sampled networks it leaves.
    """

    @property
    def members(self) -> int:
        raise NotImplementedError


@dataclass(frozen=True)
class Chains(Inference):
    """Markov chains, all of them in one batch."""

    chains: int = checked(whole(1))
    descent: int = checked(whole(0))
    burn_in: int = checked(whole(0))
    draws: int = checked(whole(1))
    thin: int = checked(whole(1))
    step: float = checked(number(above=0))

    @property
    def members(self) -> int:
        return self.chains * self.draws


@dataclass(frozen=True)
class HMC(Chains):
    leapfrog: int = checked(whole(1))
    acceptance: float | None = checked(optional(number(above=0, below=1)))


@dataclass(frozen=True)
class SGLD(Chains):
    examples: int | None = checked(optional(whole(1)))
    delay: float = checked(number(at_least=0))
    decay: float = checked(number(at_least=0, at_most=1))


@dataclass(frozen=True)
class SVGD(Inference):
    particles: int = checked(whole(2))
    descent: int = checked(whole(0))
    iterations: int = checked(whole(1))
    rate: float = checked(number(above=0))

    @property
    def members(self) -> int:
        return self.particles


@dataclass(frozen=True)
class Variational(Inference):
    draws: int = checked(whole(1))
    descent: int = checked(whole(0))
    iterations: int = checked(whole(1))
    rate: float = checked(number(above=0))
    samples: int = checked(whole(1))

    @property
    def members(self) -> int:
        return self.draws


@dataclass(frozen=True)
class Problem(Named):
    """Examples, and what is known of the outputs elsewhere."""

    constraints: list[dict[str, Any]] = checked(constraints)
    points: int = checked(whole(1))
    resample: bool = checked(boolean)
    weight: float = checked(number(above=0))
    temperatures: list[float] = checked(list_of(number(above=0), length=2))


@dataclass(frozen=True)
class Regression(Problem):
    noise: float = checked(number(above=0))
    spread: float = checked(number(above=0))


@dataclass(frozen=True)
class Classification(Problem):
    concentration: list[float] = checked(list_of(number(above=0), length=2))


def _register(name: str, keys: type, file: str, dimensions: int = 1, classes: int = 1) -> None:
    code = f"lipnet.data.problems.{file}:{name}"
    register("dataset", name, keys, code, data="problem", shape=(dimensions,), classes=classes)


_register("quartic", Regression, "toys")
_register("three_blobs", Classification, "toys", 2, 3)
_register("two_lines", Regression, "toys")
_register("forbidden_box", Regression, "toys")
_register("tunnel", Regression, "toys")
_register("two_cubics", Regression, "toys")
_register("sign", Regression, "toys")
_register("diabetes", Regression, "tables", 10)
_register("diabetes_risk", Classification, "tables", 10, 2)

register("inference", "hmc", HMC, "lipnet.tasks.bayes.hmc:HMC")
register("inference", "sgld", SGLD, "lipnet.tasks.bayes.sgld:SGLD")
register("inference", "svgd", SVGD, "lipnet.tasks.bayes.svgd:SVGD")
register("inference", "variational", Variational, "lipnet.tasks.bayes.variational:Variational")


def check_problem_choices(task: Any, dataset: Any, loss: Any) -> Iterator[str]:
    """Whether a task, a data set and a loss agree on that outputs are constrained, where one of them says so."""
    wanted = GROUPS["task"][task].data if task in GROUPS["task"] else ""
    if is_for("problem", dataset):
        if wanted not in ("", "problem"):
            kind = "labelled images" if wanted == "images" else f"a {wanted}"
            yield f"dataset={dataset}: examples with constraints on outputs; task={task} needs {kind}; use task=bayes."
        elif loss in GROUPS["loss"] and GROUPS["loss"][loss].data != "problem":
            yield f"loss={loss}: dataset={dataset} has constraints on outputs; use loss=likelihood."
    elif wanted == "problem" and dataset in GROUPS["dataset"]:
        others = ", ".join(names_for("dataset", "problem"))
        yield f"dataset={dataset}: has no constraints on outputs, which task={task} is for; use dataset={others}."
    elif loss in names_for("loss", "problem"):
        yield f"loss={loss}: needs constraints on outputs, and dataset={dataset} has none; use another loss."


def check_bayes(config: Any, learned: Option | None) -> Iterator[str]:
    """What a posterior with constraints needs of the data set, the layers and the inference."""
    dataset, task, inference = config.dataset, config.task, config.inference
    if not isinstance(dataset, Problem):
        return
    shape, classes = image_facts(dataset.name)
    counted = classes if isinstance(dataset, Classification) else 0
    yield from problems_of(dataset.constraints, shape[0], counted, NEAR * getattr(dataset, "spread", 0.0))
    if learned is None or task is None:
        return
    if dataset.resample and isinstance(inference, HMC):
        yield (
            "dataset.resample=true: a density that changes from one evaluation to the next has no Metropolis test, and "
            "inference=hmc makes one; use sgld, svgd, variational."
        )
    if getattr(task, "lipschitz", None) is not None and getattr(config.linear, "name", None) == "plain":
        yield f"task.lipschitz={task.lipschitz:g}: nothing bounds layers of linear=plain; use linear=orthogonal."
    if config.debug == "overfit":
        yield "debug=overfit: a posterior is sampled, not fitted; use debug=fast."
