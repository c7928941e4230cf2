"""What is measured of a classifier, in its ``results.json``. Imports no torch."""

from collections.abc import Mapping
from typing import Any

NORMS = ("1", "2", "inf")  # the p-norms in which networks of splines have a bound by their variation


def certified_by_arithmetic(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Certified accuracy (global) of the network as evaluated in each arithmetic: arithmetic -> radius -> fraction.

    Runs from before ``certified_accuracy_by_arithmetic`` was written tell it by what rounding took: that certified in
    float64 has a cost in float64 and one in float32, that certified in float32 one in float32 alone.
    """
    if "certified_accuracy_by_arithmetic" in results:
        found: dict[str, dict[str, float]] = results["certified_accuracy_by_arithmetic"]
        return found
    costs, certified = results.get("rounding_cost", {}), results.get("certified_accuracy", {})
    if not costs:
        return {}
    own = costs.get("float64", costs.get("float32", {}))
    accuracies: dict[str, dict[str, float]] = {}
    for arithmetic, cost in costs.items():
        accuracies[arithmetic] = {}
        for radius, accuracy in certified.items():
            if radius in own and radius in cost:
                accuracies[arithmetic][radius] = accuracy + own[radius] - cost[radius]
    return accuracies


def certified_in(results: Mapping[str, Any]) -> str:
    """The arithmetic of the network that ``certified_accuracy`` is of; empty where the results do not tell."""
    if "certify_dtype" in results:
        return str(results["certify_dtype"])
    for arithmetic in certified_by_arithmetic(results):  # its own one stands first
        return arithmetic
    return ""
