"""The table at the end of a run."""

from typing import Any

from lipnet.schema import FOOLBOX_ATTACKS


def closing_table(results: dict[str, Any]) -> str:
    """Clean, certified and attacked accuracy, a line for each radius; and the two Lipschitz bounds."""
    clean = results["clean_accuracy"]
    attacks = results["attacked_accuracy"]
    columns = {
        "certified >=": results["certified_accuracy"],
        "per pair >=": results["certified_accuracy_per_pair"],
        **{f"{name} <=": accuracies for name, accuracies in attacks.items()},
    }
    header = ["radius", *columns]
    rows = [
        [radius, *(_percent(column[radius]) for column in columns.values())] for radius in results["certified_accuracy"]
    ]
    lines = [_line(row, header) for row in (header, ["0", *(_percent(clean) for _ in columns)], *rows)]
    medians = [f"{name} {distance:.4f}" for name, distance in results["median_attack_distance"].items()]
    return "\n".join(
        [
            f"clean accuracy {_percent(clean)} on {results['test_examples']:,} test examples; "
            f"mean certified radius {results['mean_certified_radius']:.4f} "
            f"(per pair {results['mean_certified_radius_per_pair']:.4f}){_attacked(results)}",
            *lines,
            *([f"median distance of the nearest errors found: {', '.join(medians)}"] if medians else []),
            f"Lipschitz constant: at most {results['lipschitz_upper_bound']:.7f}, "
            f"at least {results['lipschitz_lower_bound']:.7f} (Jacobian at test examples)",
        ]
    )


def _attacked(results: dict[str, Any]) -> str:
    """On how many examples, where not on all."""
    attacked, few = results["attacked_examples"], results.get("foolbox_examples")
    notes = [f"attacks: on the first {attacked:,} only"] if attacked < results["test_examples"] else []
    if few is not None and few < attacked:
        names = [name for name in FOOLBOX_ATTACKS if name in results["attacked_accuracy"]]
        notes.append(f"{', '.join(names)}: on the first {few:,} only")
    return f" ({'; '.join(notes)})" if notes else ""


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _line(cells: list[str], header: list[str]) -> str:
    return "  ".join(f"{cell:>{max(len(title), 9)}}" for cell, title in zip(cells, header, strict=True))
