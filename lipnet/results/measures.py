"""What is measured of a run, and its mean and spread over several."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from lipnet.options.checks import radius_value
from lipnet.tasks.robustness.measures import certified_by_arithmetic, certified_in

_SHORT = {
    "mean_certified_radius": "mean_radius", "lipschitz_upper_bound": "L_upper", "lipschitz_lower_bound": "L_lower",
    "train_seconds": "train_s",
}  # fmt: skip

# Estimates of the MinFunnel pairs (Korotin, Kolesov & Burnaev 2022); only sort_out's is a lower bound.
PUBLISHED = {"sort_out": "SO", "wgan_gp": "GP", "wgan_lp": "LP", "sn_gan": "SN"}
_SHORT |= {f"published_{name}": f"{short}/true" for name, short in PUBLISHED.items()}

# Certified accuracy, global and per pair of classes, in the run's own arithmetic; and as it is named in others.
_CERTIFIED = ("certified", "certified_per_pair")
IN_ARITHMETICS = {f"certified_{arithmetic}_accuracy": arithmetic for arithmetic in ("float32", "float64")}

DISTANCE = (
    "true_value", "estimate", "ci_low", "ci_high", "certified_lower_bound", "estimate_over_true", "estimate_on_sample",
    "exact_on_sample", "cosine",
)  # fmt: skip

GENERATED = ("transport_of_generated", "transport_of_training")  # of test images, from those


class Measure(NamedTuple):
    """A number of ``results.json``, at a radius or without one."""

    name: str
    radius: float | None = None

    def key(self, written: dict[float, str]) -> str:
        """``certified_accuracy@36/255``, with the radius as written."""
        return self.name if self.radius is None else f"{self.name}@{written.get(self.radius, f'{self.radius:g}')}"

    def short(self, written: dict[float, str], arithmetic: str = "") -> str:
        """``certified@36/255``; with the arithmetic of the certified network: ``certified_float64@36/255``."""
        if self.is_accuracy:
            name = self.name.removesuffix("_accuracy")
            named = f"{name}_{arithmetic}" if arithmetic and name in _CERTIFIED else name
            return Measure(named, self.radius).key(written)
        return _SHORT.get(self.name, self.name)

    @property
    def is_accuracy(self) -> bool:
        return self.name.endswith("_accuracy")

    @property
    def is_attacked(self) -> bool:
        """An accuracy at most: what an attack left."""
        return self.is_accuracy and self.name != "clean_accuracy" and not self.name.startswith("certified")

    @property
    def order(self) -> tuple[int, str, float, str]:
        """Columns: clean, certified, attacks by name, or what is known of a distance or generator; the rest; by radius.

        The certified accuracies of the network in several arithmetics stand beside each other.
        """
        names = (
            "clean_accuracy",
            "certified_accuracy",
            "certified_per_pair_accuracy",
            "",
            *DISTANCE,
            *GENERATED,
            *_SHORT,
        )
        family = "certified_accuracy" if self.name in IN_ARITHMETICS else self.name
        return names.index(family if family in names else ""), family, self.radius or 0.0, self.name


class Statistic(NamedTuple):
    """Mean and population standard deviation of ``n`` values."""

    mean: float
    std: float
    n: int


def statistic(values: Iterable[float]) -> Statistic:
    """Of at least one value."""
    values = list(values)
    mean = math.fsum(values) / len(values)
    return Statistic(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values)), len(values))


def measures(results: dict[str, Any]) -> dict[Measure, float]:
    """The numbers of a ``results.json``: every attack in it, at every radius; what it says of a distance or generator.

    Raises:
        ValueError, TypeError, AttributeError: it is not one.
    """
    found = {Measure(name): results[name] for name in ("clean_accuracy", *_SHORT) if name in results}
    distance = results.get("wasserstein", {})
    found |= {Measure(name): distance[name] for name in DISTANCE if name in distance}
    found |= {Measure(name): value for name, value in _distance_measures(results).items()}
    generated = results.get("gan", {})
    found |= {Measure(name): generated[name] for name in GENERATED if name in generated}
    certified, per_pair = results.get("certified_accuracy", {}), results.get("certified_accuracy_per_pair", {})
    by_radius = {"certified": certified, **_in_other_arithmetics(results), **results.get("attacked_accuracy", {})}
    if per_pair != certified:  # equal columns would only widen the table
        by_radius["certified_per_pair"] = per_pair
    for name, accuracies in by_radius.items():
        found |= {Measure(f"{name}_accuracy", radius_value(text)): value for text, value in accuracies.items()}
    return {measure: float(value) for measure, value in found.items() if value is not None}


def _in_other_arithmetics(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    own = certified_in(results)
    return {f"certified_{name}": by for name, by in certified_by_arithmetic(results).items() if name != own}


def _distance_measures(results: dict[str, Any]) -> dict[str, float]:
    """Of a critic's ``results.json``: the cosine of its gradient with the optimal one, and published estimate / truth.

    The cosine is taken at samples of the first law, as published; each estimate is over the published true value.
    """
    found = results.get("wasserstein", {})
    published = found.get("published", {})
    measured = {f"published_{name}": published[name] / published["true_value"] for name in PUBLISHED if published}
    cosine = found.get("gradient", {}).get("first", {}).get("cosine")
    return measured if cosine is None else {"cosine": cosine, **measured}
