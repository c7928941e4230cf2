"""What is measured of a run, and its mean and spread over several."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from lipnet.options.checks import radius_value
from lipnet.results.results_file import Recorded
from lipnet.tasks.robustness.measures import NORMS, certified_by_arithmetic, certified_in

_SHORT = {
    "mean_certified_radius": "mean_radius",
    "lipschitz_upper_bound": "L_upper",
    "lipschitz_lower_bound": "L_lower",
    "train_seconds": "train_s",
}

# The bounds of a network of splines by their variation, in p-norms.
BV2 = {norm: f"bv2_bound_{norm}" for norm in NORMS}
for _norm, _name in BV2.items():
    _SHORT[_name] = f"BV2_{_norm}"

# Estimates of the MinFunnel pairs (Korotin, Kolesov & Burnaev 2022); only sort_out's is a lower bound.
PUBLISHED = {"sort_out": "SO", "wgan_gp": "GP", "wgan_lp": "LP", "sn_gan": "SN"}
for _estimator, _initials in PUBLISHED.items():
    _SHORT[f"published_{_estimator}"] = f"{_initials}/true"

# Certified accuracy, global and per pair of classes, in the run's own arithmetic; and as it is named in others.
_CERTIFIED = ("certified", "certified_per_pair")
IN_ARITHMETICS = {"certified_float32_accuracy": "float32", "certified_float64_accuracy": "float64"}

# Names in results.json: of every network, of a distance, and of test images' transport from others.
_OF_NETWORKS: Final = (
    "clean_accuracy", "mean_certified_radius", "lipschitz_upper_bound", "lipschitz_lower_bound", "train_seconds",
)  # fmt: skip
_OF_DISTANCES: Final = (
    "true_value", "estimate", "ci_low", "ci_high", "certified_lower_bound", "estimate_over_true", "estimate_on_sample",
    "exact_on_sample",
)  # fmt: skip
DISTANCE = (*_OF_DISTANCES, "cosine")
SPENT: Final = "epsilon"  # of a private run
COVERING: Final = ("coverage", "attacked_coverage", "set_size")  # of conformal sets, by radius
GENERATED: Final = ("transport_of_generated", "transport_of_training")
POSTERIOR: Final = (
    "violation", "violation_unconstrained", "functions_violating", "functions_violating_unconstrained",
    "certified_violation", "train_error", "train_error_unconstrained",
)  # fmt: skip
PREDICTED: Final = (
    "average_loss", "last_half_loss", "optimal_loss", "best_expert_loss", "regret", "regret_bound",
)  # fmt: skip


_ATTACKS = ""  # stands for all of them
_ORDER = (
    "clean_accuracy", SPENT, "certified_accuracy", "certified_per_pair_accuracy", _ATTACKS, *COVERING, *DISTANCE,
    *GENERATED, *PREDICTED, *POSTERIOR, *_SHORT,
)  # fmt: skip


class Measure(NamedTuple):
    """A number of ``results.json``, at a radius or without one."""

    name: str
    radius: float | None = None

    def key(self, written: dict[float, str]) -> str:
        """``certified_accuracy@36/255``, with the radius as written."""
        if self.radius is None:
            return self.name
        return f"{self.name}@{written.get(self.radius, f'{self.radius:g}')}"

    def short(self, written: dict[float, str], arithmetic: str = "") -> str:
        """``certified@36/255``; with the arithmetic of the certified network: ``certified_float64@36/255``."""
        if not self.is_accuracy:
            return Measure(_SHORT.get(self.name, self.name), self.radius).key(written)
        name = self.name.removesuffix("_accuracy")
        if arithmetic and name in _CERTIFIED:
            name = f"{name}_{arithmetic}"
        return Measure(name, self.radius).key(written)

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
        family = "certified_accuracy" if self.name in IN_ARITHMETICS else self.name
        place = _ORDER.index(family) if family in _ORDER else _ORDER.index(_ATTACKS)
        return place, family, self.radius or 0.0, self.name


class Statistic(NamedTuple):
    """Mean and population standard deviation of ``n`` values."""

    mean: float
    std: float
    n: int


def statistic(values: Iterable[float]) -> Statistic:
    """Mean and standard deviation of at least one value."""
    values = list(values)
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
    return Statistic(mean, math.sqrt(variance), len(values))


def measures(results: Recorded) -> dict[Measure, float]:
    """The numbers of a ``results.json``: every attack in it, at every radius; what it says of a distance, a
    generator or a posterior.

    Raises:
        ValueError, TypeError, AttributeError: it is not one.
    """
    found: dict[Measure, float | None] = {}
    for name in _OF_NETWORKS:
        if name in results:
            found[Measure(name)] = results[name]
    bounds = results.get("bv2_bound", {})
    for norm, name in BV2.items():
        if norm in bounds:
            found[Measure(name)] = bounds[norm]
    for name, value in _of_distance(results).items():
        found[Measure(name)] = value
    if "privacy" in results:
        found[Measure(SPENT)] = results["privacy"][SPENT]
    predicted = results.get("online", {})
    for loss in PREDICTED:
        if loss in predicted:
            found[Measure(loss)] = predicted[loss]
    generated = results.get("gan", {})
    for key in GENERATED:
        if key in generated:
            found[Measure(key)] = generated[key]
    sets: Mapping[str, Any] = results.get("conformal", {})
    for name in COVERING:
        for text, value in sets.get(name, {}).items():
            found[Measure(name, radius_value(text))] = value
    posterior = results.get("bayes", {})
    for each in POSTERIOR:
        if each in posterior:
            found[Measure(each)] = posterior[each]
    for kind, by_radius in _by_radius(results).items():
        for text, accuracy in by_radius.items():
            found[Measure(f"{kind}_accuracy", radius_value(text))] = accuracy
    return {measure: float(value) for measure, value in found.items() if value is not None}


def _by_radius(results: Recorded) -> dict[str, dict[str, float]]:
    """The accuracies at every radius: certified in each arithmetic, attacked, and certified per pair of classes."""
    certified, per_pair = results.get("certified_accuracy", {}), results.get("certified_accuracy_per_pair", {})
    own, found = certified_in(results), {"certified": certified}
    for arithmetic, accuracies in certified_by_arithmetic(results).items():
        if arithmetic != own:
            found[f"certified_{arithmetic}"] = accuracies
    found |= results.get("attacked_accuracy", {})
    if per_pair != certified:  # equal columns would only widen the table
        found["certified_per_pair"] = per_pair
    return found


def _of_distance(results: Recorded) -> dict[str, float | None]:
    """What is known of a distance, the cosine of the critic's gradient with the optimal one, published estimate / true.

    The cosine is taken at samples of the first distribution, as published; estimates are over the published true value.
    """
    distance = results.get("wasserstein", {})
    found: dict[str, float | None] = {}
    for name in _OF_DISTANCES:
        if name in distance:
            found[name] = distance[name]
    gradients = distance.get("gradient", {})
    if "first" in gradients:
        found["cosine"] = gradients["first"].get("cosine")
    published = distance.get("published")
    if published:
        for estimator in PUBLISHED:
            found[f"published_{estimator}"] = published[estimator] / published["true_value"]
    return found
