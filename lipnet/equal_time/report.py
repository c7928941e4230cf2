"""Tables and the figure of a comparison at equal time."""

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lipnet.display.canvas import blank_figure
from lipnet.results.drawing import COLOURS
from lipnet.runs.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Row:
    """What a competitor reached at a budget: on the test split, of each seed; ``epochs`` are of the whole data."""

    choice: str
    seconds: float
    lr: float
    weight_decay: float
    seconds_per_step: float
    epochs: float
    train_seconds: list[float]
    clean: list[float]
    certified: dict[str, list[float]]


def row(choice: str, seconds: float, tuned: tuple[float, float], pace: dict[str, Any], found: list[Any]) -> Row:
    """Of the ``results.json`` of its seeds, at least one."""
    radii = list(found[0]["certified_accuracy"])
    trained = found[0]["samples_per_second"] * found[0]["train_seconds"]
    return Row(
        choice, seconds, *tuned, pace["seconds_per_step"], trained / pace["examples"],
        [results["train_seconds"] for results in found], [results["clean_accuracy"] for results in found],
        {radius: [results["certified_accuracy"][radius] for results in found] for radius in radii},
    )  # fmt: skip


def first_radius(rows: list[Row]) -> str:
    """The smallest radius that is above 0: what rows are sorted by."""
    return next((radius for radius in rows[0].certified if radius != "0"), "0")


def table(rows: list[Row]) -> str:
    """Markdown, a table a budget, the best certified accuracy first; means and standard deviations in per cent."""
    if not rows:
        return "No run has finished.\n"
    parts = []
    radius = first_radius(rows)
    for seconds in sorted({row.seconds for row in rows}):
        own = [row for row in rows if row.seconds == seconds]
        own.sort(key=lambda row: -statistics.mean(row.certified[radius]))
        names = [f"certified at {other}" for other in own[0].certified if other != "0"]
        head = ["choice", "clean", *names, "seeds", "epochs", "ms a step", "train s", "lr", "decay"]
        lines = [f"{seconds:g} seconds of training", "", _line(head), _line(["---"] * len(head))]
        lines += [_line(_cells(row)) for row in own]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _cells(row: Row) -> list[str]:
    return [
        f"`{row.choice}`", _share(row.clean), *(_share(values) for key, values in row.certified.items() if key != "0"),
        str(len(row.clean)), f"{row.epochs:.3g}", f"{1000 * row.seconds_per_step:.1f}",
        f"{statistics.mean(row.train_seconds):.0f}", f"{row.lr:.2g}", f"{row.weight_decay:.2g}",
    ]  # fmt: skip


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _share(values: list[float]) -> str:
    mean = f"{100 * statistics.mean(values):.2f}"
    return mean if len(values) < 2 else f"{mean} ± {100 * statistics.stdev(values):.2f}"


def figure(rows: list[Row]) -> "Figure":
    """Certified accuracy against the seconds that training took: a line a competitor, a point a seed."""
    radius, drawn = first_radius(rows), blank_figure(figsize=(7.5, 4.8), layout="constrained")
    axes = drawn.add_subplot()
    for number, choice in enumerate(dict.fromkeys(row.choice for row in rows)):
        own = sorted((row for row in rows if row.choice == choice), key=lambda row: row.seconds)
        colour = COLOURS[number % len(COLOURS)]
        marker = "osv^D"[number // len(COLOURS) % 5]
        means = [100 * statistics.mean(row.certified[radius]) for row in own]
        axes.plot([statistics.mean(row.train_seconds) for row in own], means, f"{marker}-", color=colour, label=choice)
        for row in own:
            axes.plot(row.train_seconds, [100 * value for value in row.certified[radius]], ".", color=colour, alpha=0.5)
    budgets = sorted({row.seconds for row in rows})
    if len(budgets) > 1:
        axes.set_xscale("log")
        axes.set_xticks(budgets, [f"{seconds:g}" for seconds in budgets])
        axes.set_xticks([], minor=True)
    axes.grid(alpha=0.3)
    axes.set(xlabel="seconds of training", ylabel=f"certified accuracy at {radius}, % of the test split")
    drawn.legend(frameon=False, fontsize=8, loc="outside right upper")
    return drawn


def write_report(directory: Path, rows: list[Row]) -> list[Path]:
    """Writes ``equal_time.json``, ``equal_time.md`` and, of finished runs, ``equal_time.png``; returns the files."""
    files = [directory / f"equal_time.{kind}" for kind in ("json", "md", "png")]
    write_atomically(files[0], lambda file: json.dump([asdict(row) for row in rows], file, indent=2))
    write_atomically(files[1], lambda file: file.write(table(rows)))
    if not rows:
        return files[:2]
    write_atomically(files[2], lambda file: figure(rows).savefig(file, format="png", dpi=150), "wb")
    return files
