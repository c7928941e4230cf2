"""What runs of ``task=wasserstein`` show together: are their bounds valid, are they nearer than published estimates?"""

import math
from collections.abc import Iterator
from typing import Final

from lipnet.results.collect import Run
from lipnet.results.groups import Group
from lipnet.results.measures import PUBLISHED
from lipnet.tasks.wasserstein.results import Distance

_BOUNDS: Final = ("certified_lower_bound", "ci_low")
_SIDES = {"certified_lower_bound": 1, "ci_low": 2}  # on how many sides each may fail


def distance_notes(groups: list[Group]) -> Iterator[str]:
    """Lines below a table: how often a bound lay above the true value; errors over all published pairs."""
    known: list[tuple[float, Distance]] = []
    for group in groups:
        for run in group.runs:
            distance = run.results.get("wasserstein", {})
            truth = distance.get("true_value")
            if truth is not None and {"confidence", *_BOUNDS} <= set(distance):
                known.append((truth + 2 * (distance.get("true_value_error") or 0.0), distance))
    if known:
        yield _validity(known)
    by_critic: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if all(_published(run) for run in group.runs):
            by_critic.setdefault((group.labels["model"], group.labels["method"]), []).append(group)
    for critic, same in by_critic.items():
        yield _nearness(" ".join(critic), same)


def _published(run: Run) -> dict[str, float]:
    """Other estimators' figures on the run's pair; empty where there are none."""
    return run.results.get("wasserstein", {}).get("published") or {}


def _validity(found: list[tuple[float, Distance]]) -> str:
    """How many bounds lie above what the true value is at most, and how many may."""
    counts, expected = dict.fromkeys(_BOUNDS, 0), dict.fromkeys(_BOUNDS, 0.0)
    for truth, distance in found:
        for name in _BOUNDS:
            counts[name] += distance[name] > truth
            expected[name] += (1 - distance["confidence"]) / _SIDES[name]
    listed = ", ".join(f"{name} {counts[name]} (expected {expected[name]:.1f} at most)" for name in counts)
    return (
        f"above the true value, of {len(found)} runs: {listed}. On its own samples no critic exceeded their exact "
        "transport; a run that did would have failed."
    )


def _nearness(critic: str, groups: list[Group]) -> str:
    """Mean absolute relative errors over the groups' pairs, ours from the mean over seeds."""
    errors: dict[str, list[float]] = {name: [] for name in ("ours", *PUBLISHED)}
    for group in groups:
        ratios = [run.results["wasserstein"]["estimate_over_true"] or 0.0 for run in group.runs]
        errors["ours"].append(abs(math.fsum(ratios) / len(ratios) - 1))
        published = _published(group.runs[0])
        for name in PUBLISHED:
            errors[name].append(abs(published[name] / published["true_value"] - 1))
    means = {name: math.fsum(values) / len(values) for name, values in errors.items()}
    better = sum(own < other for own, other in zip(errors["ours"], errors["sort_out"], strict=True))
    listed = ", ".join(f"{short} {means[name]:.3f}" for name, short in PUBLISHED.items())
    return (
        f"{critic}, {len(groups)} published pairs: mean |estimate / true value - 1| {means['ours']:.3f} ({listed}); "
        f"nearer than SO on {better}. Published: Korotin, Kolesov & Burnaev 2022, estimate / their true value; SO "
        "alone is a lower bound."
    )
