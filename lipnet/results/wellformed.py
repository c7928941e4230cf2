"""Whether a ``results.json`` is as lipnet writes it, as far as tables, notes and figures read it."""

from collections.abc import Mapping
from typing import Any

from lipnet.results.measures import DISTANCE, GENERATED, POSTERIOR, PREDICTED, PUBLISHED
from lipnet.results.results_file import Recorded

_TABLES = (
    "versions", "certified_accuracy", "certified_accuracy_per_pair", "attacked_accuracy", "bv2_bound", "wasserstein",
    "gan", "online", "bayes",
)  # fmt: skip
_ACCURACIES = ("clean_accuracy", "certified_accuracy", "certified_accuracy_per_pair", "attacked_accuracy")
_NUMBERS = (
    "mean_certified_radius", "lipschitz_upper_bound", "lipschitz_lower_bound", "train_seconds", "test_examples",
    "attacked_examples", "bv2_bound",
)  # fmt: skip
_LARGEST = 1e100  # squares of numbers beyond 1e154 are none


def check(results: Recorded) -> None:
    """Refuses what lipnet does not write.

    Raises:
        ValueError: naming the key, and what is wrong with it.
    """
    for name in _TABLES:
        _table(results, name)
    for name in _ACCURACIES:
        _check_numbers(name, results.get(name), 0.0, 1.0)
    for name in _NUMBERS:
        _check_numbers(name, results.get(name), -_LARGEST, _LARGEST)
    distance = _table(results, "wasserstein")
    published, gradient = _table(distance, "published"), _table(_table(distance, "gradient"), "first")
    numbers = {name: distance.get(name) for name in (*DISTANCE, "confidence", "true_value_error")}
    for name in ("true_value", *PUBLISHED):
        numbers[f"published.{name}"] = published.get(name)
    numbers["gradient.first.cosine"] = gradient.get("cosine")
    _check_numbers("wasserstein", numbers, -_LARGEST, _LARGEST)
    generated = _table(results, "gan")
    _check_numbers("gan", {name: generated.get(name) for name in GENERATED}, -_LARGEST, _LARGEST)
    posterior = _table(results, "bayes")
    _check_numbers("bayes", {name: posterior.get(name) for name in POSTERIOR}, -_LARGEST, _LARGEST)
    predicted = _table(results, "online")
    _check_numbers("online", {name: predicted.get(name) for name in PREDICTED}, -_LARGEST, _LARGEST)
    if published:
        missing = [name for name in ("true_value", *PUBLISHED) if not published.get(name)]
        if "estimate_over_true" not in distance:
            missing.append("estimate_over_true")
        if missing:
            raise ValueError(f"wasserstein lacks {', '.join(missing)}")


def _table(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name)
    if not (found is None or isinstance(found, dict)):
        raise ValueError(f"{name} is no table")
    return found or {}


def _check_numbers(name: str, value: Any, low: float, high: float) -> None:
    """A number between two bounds, or a table of such; ``None`` stands for a missing one."""
    if isinstance(value, dict):
        for key, part in value.items():
            _check_numbers(f"{name}.{key}", part, low, high)
    elif value is not None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} is no number")
        if not low <= value <= high:  # nor where it is NaN
            raise ValueError(f"{name}={str(value)[:20]} is not from {low:g} to {high:g}")
