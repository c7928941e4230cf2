"""What is measured of a run, and its mean and spread over several."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from lipnet.checks import radius_value

_SHORT = {
    "mean_certified_radius": "mean_radius", "lipschitz_upper_bound": "L_upper", "lipschitz_lower_bound": "L_lower",
    "train_seconds": "train_s",
}  # fmt: skip


class Measure(NamedTuple):
    """A number of ``results.json``, at a radius or without one."""

    name: str
    radius: float | None = None

    def key(self, written: dict[float, str]) -> str:
        """``certified_accuracy@36/255``, with the radius as written."""
        return self.name if self.radius is None else f"{self.name}@{written.get(self.radius, f'{self.radius:g}')}"

    def short(self, written: dict[float, str]) -> str:
        """``certified@36/255``."""
        if self.is_accuracy:
            return Measure(self.name.removesuffix("_accuracy"), self.radius).key(written)
        return _SHORT.get(self.name, self.name)

    @property
    def is_accuracy(self) -> bool:
        return self.name.endswith("_accuracy")

    @property
    def order(self) -> tuple[int, str, float]:
        """Columns: clean, certified, attacks by name, the rest; each by radius."""
        names = ("clean_accuracy", "certified_accuracy", "certified_per_pair_accuracy", "", *_SHORT)
        return names.index(self.name if self.name in names else ""), self.name, self.radius or 0.0


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
    """The numbers of a ``results.json``: every attack in it, at every radius.

    Raises:
        ValueError, TypeError, AttributeError: it is not one.
    """
    found = {Measure(name): results[name] for name in ("clean_accuracy", *_SHORT) if name in results}
    certified, per_pair = results.get("certified_accuracy", {}), results.get("certified_accuracy_per_pair", {})
    by_radius = {"certified": certified, **results.get("attacked_accuracy", {})}
    if per_pair != certified:  # equal columns would only widen the table
        by_radius["certified_per_pair"] = per_pair
    for name, accuracies in by_radius.items():
        found |= {Measure(f"{name}_accuracy", radius_value(text)): value for text, value in accuracies.items()}
    return {measure: float(value) for measure, value in found.items() if value is not None}
