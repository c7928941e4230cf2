"""The table at the end of a run."""

from lipnet.display.fitting import Column, fitting_table, wrapped
from lipnet.options.tasks import FOOLBOX_ATTACKS
from lipnet.tasks.robustness.measures import certified_by_arithmetic, certified_in
from lipnet.tasks.robustness.results import Certified, Results

_HIDDEN = "lipnet.log in the run directory shows every column."


def closing_table(results: Results, width: int | None = None) -> str:
    """Clean, certified and attacked accuracy, a line for each radius; and the two Lipschitz bounds.

    Args:
        width: what a line of the terminal holds.
    """
    own = certified_in(results)
    columns = _certified_columns(results)
    columns.append(_accuracies(_title("per pair", own), results, results["certified_accuracy_per_pair"]))
    columns += [_accuracies(f"{name} <=", results, found) for name, found in results["attacked_accuracy"].items()]
    columns += _conformal_columns(results)
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
        *_conformal(results),
        lipschitz,
        *_by_variation(results.get("bv2_bound", {})),
    ]
    lines = [*wrapped(summary, width), *_fitting(columns, width)]
    for text in below:
        lines += wrapped(text, width)
    return "\n".join(lines)


def certified_table(results: Certified, width: int | None = None) -> str:
    """Clean and certified accuracy alone, of each arithmetic that the network may be evaluated in."""
    return "\n".join(_fitting(_certified_columns(results), width))


def _certified_columns(results: Certified) -> list[Column]:
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


def _accuracies(title: str, results: Certified, found: dict[str, float]) -> Column:
    shown = [_percent(found[radius]) if radius in found else "–" for radius in results["certified_accuracy"]]
    return Column(title, [_percent(results["clean_accuracy"]), *shown])


def _fitting(columns: list[Column], width: int | None) -> list[str]:
    titles, rows, below = fitting_table(columns, width, _HIDDEN)
    return [*titles, *rows, *below]


def _conformal_columns(results: Results) -> list[Column]:
    """Coverage and size of conformal sets for each radius, and what attacks within it leave of their coverage."""
    sets = results.get("conformal")
    if sets is None:
        return []
    radii = ["0", *results["certified_accuracy"]]
    attacked = sets.get("attacked_coverage")
    columns = [
        Column("coverage", [_percent(sets["coverage"][radius]) for radius in radii]),
        Column("set size", [f"{sets['set_size'][radius]:.2f}" for radius in radii]),
    ]
    if attacked is not None:
        columns.append(
            Column("attacked coverage", [_percent(attacked[radius]) if radius in attacked else "–" for radius in radii])
        )
    return columns


def _conformal(results: Results) -> list[str]:
    """What conformal sets promise, and by how many examples."""
    sets = results.get("conformal")
    if sets is None:
        return []
    return [
        f"conformal sets: alpha {sets['alpha']:g}, calibrated on {sets['calibration_examples']:,} examples; proved "
        f"within each radius, of its sets: {_percent(sets['certified_coverage'])} of {sets['examples']:,} examples"
    ]


def _together(results: Results) -> list[str]:
    """What all attacks leave together, where there are several."""
    if len(results["attacked_accuracy"]) < 2 or not results.get("attacked_accuracy_worst"):
        return []
    parts = [f"{_percent(accuracy)} at {radius}" for radius, accuracy in results["attacked_accuracy_worst"].items()]
    return [f"after all attacks together: {', '.join(parts)}"]


def _rounding(cost: dict[str, dict[str, float]]) -> list[str]:
    """What the allowance for rounding takes of certified accuracy, at the radius where it takes the most."""
    parts = [f"{_percent(max(taken.values()))} in {arithmetic}" for arithmetic, taken in cost.items() if taken]
    return [f"certified accuracy that rounding takes: at most {', '.join(parts)}"] if parts else []


def _by_variation(bounds: dict[str, float]) -> list[str]:
    """The bounds of a network of splines in p-norms, where it has some."""
    parts = [f"{bound:.6g} (p = {norm})" for norm, bound in bounds.items()]
    return [f"by the splines' variation (BV2), in the p-norm: at most {', '.join(parts)}"] if parts else []


def _attacked(results: Results) -> str:
    """On how many examples, where not on all."""
    if not results["attacked_accuracy"]:
        return ""
    attacked, few = results["attacked_examples"], results.get("foolbox_examples")
    notes = [f"attacks: on the first {attacked:,} only"] if attacked < results["test_examples"] else []
    if few is not None and few < attacked:
        names = [name for name in FOOLBOX_ATTACKS if name in results["attacked_accuracy"]]
        notes.append(f"{', '.join(names)}: on the first {few:,} only")
    return f" ({'; '.join(notes)})" if notes else ""


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"
