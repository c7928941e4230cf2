"""The table at the end of a run."""

from typing import Any


def closing_table(results: dict[str, Any]) -> str:
    """Clean, certified and attacked accuracy, a line for each radius; and the two Lipschitz bounds."""
    attacks = results["attacked_accuracy"]
    header = ["radius", "certified >=", *(f"{name} <=" for name in attacks)]
    rows = [["0", _percent(results["clean_accuracy"]), *(_percent(results["clean_accuracy"]) for _ in attacks)]]
    for radius, certified in results["certified_accuracy"].items():
        rows.append([radius, _percent(certified), *(_percent(attacks[name][radius]) for name in attacks)])
    lines = [_line(header, header), *(_line(row, header) for row in rows)]
    attacked = results["attacked_examples"]
    note = "" if attacked == results["test_examples"] else f" (attacks: on the first {attacked:,} only)"
    return "\n".join(
        [
            f"clean accuracy {_percent(results['clean_accuracy'])} on {results['test_examples']:,} test examples; "
            f"mean certified radius {results['mean_certified_radius']:.4f}{note}",
            *lines,
            f"Lipschitz constant: at most {results['lipschitz_upper_bound']:.7f}, "
            f"at least {results['lipschitz_lower_bound']:.7f} (Jacobian at test examples)",
        ]
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _line(cells: list[str], header: list[str]) -> str:
    return "  ".join(f"{cell:>{max(len(title), 9)}}" for cell, title in zip(cells, header, strict=True))
