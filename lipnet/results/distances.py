"""What runs of ``task=wasserstein`` show together: are their bounds valid, are they nearer than published estimates?"""

import math
from collections.abc import Iterator
from typing import Any

from lipnet.results.groups import Group
from lipnet.results.measures import PUBLISHED

_BOUNDS = {"certified_lower_bound": 1, "ci_low": 2}  # on how many sides each may fail


def distance_notes(groups: list[Group]) -> Iterator[str]:
    """Lines below a table: how often a bound lay above the true value; errors over all published pairs."""
    found = [run.results["wasserstein"] for group in groups for run in group.runs if "wasserstein" in run.results]
    known = [distance for distance in found if {"true_value", "confidence", *_BOUNDS} <= set(distance)]
    if known:
        yield _validity(known)
    by_critic: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if all("published" in run.results.get("wasserstein", {}) for run in group.runs):
            by_critic.setdefault((group.labels["model"], group.labels["method"]), []).append(group)
    for critic, same in by_critic.items():
        yield _nearness(" ".join(critic), same)


def _validity(found: list[dict[str, Any]]) -> str:
    counts, expected = dict.fromkeys(_BOUNDS, 0), dict.fromkeys(_BOUNDS, 0.0)
    for distance in found:
        truth = distance["true_value"] + 2 * distance.get("true_value_error", 0.0)
        for name, sides in _BOUNDS.items():
            counts[name] += distance[name] > truth
            expected[name] += (1 - distance["confidence"]) / sides
    listed = ", ".join(f"{name} {counts[name]} (expected {expected[name]:.1f} at most)" for name in counts)
    return (
        f"above the true value, of {len(found)} runs: {listed}. On its own samples no critic exceeded their exact "
        "transport; a run that did would have failed."
    )


def _nearness(critic: str, groups: list[Group]) -> str:
    """Mean absolute relative errors over the groups' pairs, ours from the mean over seeds."""
    errors: dict[str, list[float]] = {name: [] for name in ("ours", *PUBLISHED)}
    for group in groups:
        found = [run.results["wasserstein"] for run in group.runs]
        errors["ours"].append(abs(math.fsum(one["estimate_over_true"] for one in found) / len(found) - 1))
        for name in PUBLISHED:
            errors[name].append(abs(found[0]["published"][name] / found[0]["published"]["true_value"] - 1))
    means = {name: math.fsum(values) / len(values) for name, values in errors.items()}
    better = sum(own < other for own, other in zip(errors["ours"], errors["sort_out"], strict=True))
    listed = ", ".join(f"{short} {means[name]:.3f}" for name, short in PUBLISHED.items())
    return (
        f"{critic}, {len(groups)} published pairs: mean |estimate / true value - 1| {means['ours']:.3f} ({listed}); "
        f"nearer than SO on {better}. Published: Korotin, Kolesov & Burnaev 2022, estimate / their true value; SO "
        "alone is a lower bound."
    )
