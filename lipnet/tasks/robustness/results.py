"""What ``results.json`` holds of a classifier. Imports no torch."""

from typing import TypedDict

from lipnet.options.config import Config
from lipnet.options.layers import Spline
from lipnet.options.registry import GROUPS
from lipnet.options.tasks import ATTACKS
from lipnet.options.tasks import Robustness as Option
from lipnet.tasks.numbers import Keys, Numbers, at_radii, numbers_of
from lipnet.tasks.results import ByRadius, Exported, Start
from lipnet.tasks.robustness.measures import NORMS

PARTS = ("logits", "bounds", "attacks", "jacobian", "diagnostics", "figures")  # of an evaluation, timed
_ARITHMETICS = ("float64", "float32")


class Certified(TypedDict):
    """What is proved of a classifier on test examples; of the network in ``certify_dtype``, but for the last."""

    clean_accuracy: float
    certified_accuracy: ByRadius
    certify_dtype: str
    certified_accuracy_by_arithmetic: dict[str, ByRadius]


class Results(Start, Certified):
    """Fractions are in [0, 1]; ``attacked_accuracy`` is by attack, what is by arithmetic by the network's.

    ``bv2_bound`` is by norm; empty where the network has no splines.
    """

    status: str
    test_examples: int
    certified_accuracy_per_pair: ByRadius
    rounding_cost: dict[str, ByRadius]
    attacked_accuracy: dict[str, ByRadius]
    attacked_accuracy_worst: ByRadius
    attacked_examples: int
    foolbox_examples: int | None
    attack_seconds: dict[str, float]
    median_attack_distance: dict[str, float]
    mean_certified_radius: float
    mean_certified_radius_per_pair: float
    lipschitz_upper_bound: float
    lipschitz_lower_bound: float
    bv2_bound: dict[str, float]
    eval_seconds: float
    seconds: dict[str, float]
    peak_memory_bytes: int | None


class ExportedClassifier(Exported, Certified):
    """What an export leaves of a classifier; ``evaluated_again`` of an assured one."""

    test_examples: int
    lipschitz_lower_bound: float
    evaluated_again: float | None


_BESIDE = (
    "test_examples", "attacked_examples", "foolbox_examples", "attack_seconds", "eval_seconds", "seconds",
    "rounding_cost", "peak_memory_bytes",
)  # fmt: skip


def numbers(config: Config) -> Numbers:
    """The numbers of such a run; a few depend on what is found."""
    found = numbers_of(Results, _tables(config), _BESIDE, without=Start)
    exported = numbers_of(ExportedClassifier, _tables(config), without=Exported).measures
    return Numbers(found.measures, found.beside, _validation(config), exported)


def _has_splines(config: Config) -> bool:
    """Whether activations are, in a model that has activations."""
    return isinstance(config.activation, Spline) and "activation" in GROUPS["model"][config.model.name].reads


def _tables(config: Config) -> Keys:
    radii, attacks = config.eval_radii, config.attack.names
    return {
        "certified_accuracy": [radii],
        "certified_accuracy_per_pair": [radii],
        "certified_accuracy_by_arithmetic": [_ARITHMETICS, radii],
        "rounding_cost": [_ARITHMETICS, radii],
        "attacked_accuracy": [attacks, radii],
        "attacked_accuracy_worst": [radii if attacks else []],
        "attack_seconds": [attacks],
        "median_attack_distance": [[name for name in attacks if ATTACKS[name].nearest]],
        "bv2_bound": [NORMS if _has_splines(config) else []],
        "seconds": [PARTS],
    }


def _validation(config: Config) -> list[str]:
    if not config.images.validation:
        return []
    names = ["certified_accuracy"]
    if isinstance(config.task, Option) and config.task.select_by == "certified_accuracy_per_pair":
        names.append("certified_accuracy_per_pair")
    return ["loss", "clean_accuracy", *at_radii(config.eval_radii, *names)]
