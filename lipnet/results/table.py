"""The table at the end of a run."""

from typing import Any

from lipnet.results.fitting import Column, fitting_table, wrapped
from lipnet.results.measures import certified_by_arithmetic, certified_in
from lipnet.schema import FOOLBOX_ATTACKS

_HIDDEN = "lipnet.log in the run directory shows every column."


def closing_table(results: dict[str, Any], width: int | None = None) -> str:
    """Clean, certified and attacked accuracy, a line for each radius; and the two Lipschitz bounds.

    Args:
        width: what a line of the terminal holds.
    """
    own = certified_in(results)
    columns = _certified_columns(results)
    columns.append(_accuracies(_title("per pair", own), results, results["certified_accuracy_per_pair"]))
    columns += [_accuracies(f"{name} <=", results, found) for name, found in results["attacked_accuracy"].items()]
    medians = [f"{name} {distance:.4f}" for name, distance in results["median_attack_distance"].items()]
    summary = (
        f"clean accuracy {_percent(results['clean_accuracy'])} on {results['test_examples']:,} test examples; "
        f"mean certified radius {results['mean_certified_radius']:.4f} "
        f"(per pair {results['mean_certified_radius_per_pair']:.4f}){_attacked(results)}"
    )
    lipschitz = (
        f"Lipschitz constant: at most {results['lipschitz_upper_bound']:.7f}, "
        f"at least {results['lipschitz_lower_bound']:.7f} (Jacobian at test examples)"
    )
    below = [
        *_together(results),
        *([f"median distance of the nearest errors found: {', '.join(medians)}"] if medians else []),
        *_rounding(results.get("rounding_cost", {})),
        lipschitz,
    ]
    lines = [*wrapped(summary, width), *_fitting(columns, width)]
    for text in below:
        lines += wrapped(text, width)
    return "\n".join(lines)


def certified_table(results: dict[str, Any], width: int | None = None) -> str:
    """Clean and certified accuracy alone, of each arithmetic that the network may be evaluated in."""
    return "\n".join(_fitting(_certified_columns(results), width))


def _certified_columns(results: dict[str, Any]) -> list[Column]:
    """The radii, and the certified accuracies of the network: in the run's own arithmetic, then in others."""
    own, certified = certified_in(results), results["certified_accuracy"]
    others = {name: found for name, found in certified_by_arithmetic(results).items() if name != own}
    return [
        Column("radius", ["0", *certified]),
        _accuracies(_title("certified", own), results, certified),
        *(_accuracies(_title("certified", name), results, found) for name, found in others.items()),
    ]


def _title(name: str, arithmetic: str) -> str:
    """``certified >= (float64)``: of the network as evaluated in float64."""
    return f"{name} >= ({arithmetic})" if arithmetic else f"{name} >="


def _accuracies(title: str, results: dict[str, Any], found: dict[str, float]) -> Column:
    shown = [_percent(found[radius]) if radius in found else "–" for radius in results["certified_accuracy"]]
    return Column(title, [_percent(results["clean_accuracy"]), *shown])


def _fitting(columns: list[Column], width: int | None) -> list[str]:
    titles, rows, below = fitting_table(columns, width, _HIDDEN)
    return [*titles, *rows, *below]


def _together(results: dict[str, Any]) -> list[str]:
    """What all attacks leave together, where there are several."""
    if len(results["attacked_accuracy"]) < 2 or not results.get("attacked_accuracy_worst"):
        return []
    parts = [f"{_percent(accuracy)} at {radius}" for radius, accuracy in results["attacked_accuracy_worst"].items()]
    return [f"after all attacks together: {', '.join(parts)}"]


def _rounding(cost: dict[str, dict[str, float]]) -> list[str]:
    """What the allowance for rounding takes of certified accuracy, at the radius where it takes the most."""
    parts = [f"{_percent(max(taken.values()))} in {arithmetic}" for arithmetic, taken in cost.items() if taken]
    return [f"certified accuracy that rounding takes: at most {', '.join(parts)}"] if parts else []


def _attacked(results: dict[str, Any]) -> str:
    """On how many examples, where not on all."""
    attacked, few = results["attacked_examples"], results.get("foolbox_examples")
    notes = [f"attacks: on the first {attacked:,} only"] if attacked < results["test_examples"] else []
    if few is not None and few < attacked:
        names = [name for name in FOOLBOX_ATTACKS if name in results["attacked_accuracy"]]
        notes.append(f"{', '.join(names)}: on the first {few:,} only")
    return f" ({'; '.join(notes)})" if notes else ""


def wasserstein_table(results: dict[str, Any], width: int | None = None) -> str:
    """What is proved, estimated and known of the distance, a line each, with what each figure means.

    Args:
        width: what a line of the terminal holds.
    """
    found = results["wasserstein"]
    confidence, samples = _percent(found["confidence"]), found["transport_samples"]
    rows = [
        ("at least", found["certified_lower_bound"], f"certified at {confidence}, for this number of samples"),
        (
            "estimate",
            found["estimate"],
            f"{confidence} interval [{found['ci_low']:.6g}, {found['ci_high']:.6g}] of what this critic can prove",
        ),
        ("critic on few", found["estimate_on_sample"], f"the critic on the first {samples:,} samples a side"),
        (
            "transport of few",
            found["exact_on_sample"],
            "exact optimal transport of the same samples: no critic exceeds it there; as an estimate of the distance "
            "between the laws (plug-in) it is too large on average, by far in high dimension",
        ),
    ]
    if "true_value" in found:
        error = f" (standard error {found['true_value_error']:.2g})" if "true_value_error" in found else ""
        note = f"estimate / true value: {found['estimate_over_true']:.4f}{error}"
        rows.append(("true value", found["true_value"], note))
    if "published" in found:
        note = (
            f"their true value, from 4,096 samples; its estimate by orthogonal layers: {found['published']['sort_out']}"
        )
        rows.append(("published", found["published"]["true_value"], note))
    lines = wrapped(
        f"Wasserstein-1, {found['units']}, {found['evaluation_samples']:,} evaluation samples a side", width
    )
    for name, value, note in rows:
        start = f"  {name:<16}  {value:>10.6g}  "
        lines += wrapped(note, width, start, " " * len(start))
    below = [
        *(_gradient_line(side, statistics) for side, statistics in found["gradient"].items()),
        f"Lipschitz constant: at most {results['lipschitz_upper_bound']:.7f} (the estimates are divided by it), "
        f"at least {results['lipschitz_lower_bound']:.7f} (gradient at samples)",
    ]
    for text in below:
        lines += wrapped(text, width)
    return "\n".join(lines)


def _gradient_line(side: str, statistics: dict[str, float]) -> str:
    share = _percent(statistics["share_of_norm_at_least_0.99"])
    line = f"gradient norm at samples of the {side} law: >= 0.99 at {share}"
    if "cosine" in statistics:
        line += f"; against the optimal potential's: cosine {statistics['cosine']:.4f}, "
        line += f"squared error {statistics['squared_error']:.4f}"
    return line


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"
