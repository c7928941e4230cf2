"""Figures of training, from ``metrics.csv``: they can be drawn while runs go on."""

import itertools
import math
from typing import TYPE_CHECKING

from lipnet.results.collect import Run
from lipnet.results.drawing import Named, colours, legend_below, mean, new_figure, new_panels, of_table
from lipnet.results.groups import Group
from lipnet.results.scores import readable, score_column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = dict[str, list[float]]  # column of metrics.csv -> a value an epoch


def training_curves(named: Named, title: str) -> "Figure | None":
    """Loss, clean accuracy and the score, epoch by epoch: on validation data; dashed, in training.

    Means over the seeds that have come so far, and a band from the least to the greatest.
    """
    curves = {label: _of_runs(group) for label, group in named}
    columns = _columns(curves)
    shown = _panels(columns)
    if not shown:
        return None
    figure, panels = new_panels(len(shown), f"{title}: training")
    for axes, (name, (solid, dashed)) in zip(panels, shown.items(), strict=True):
        for colour, (label, found) in zip(colours(named), curves.items(), strict=True):
            _seeds(axes, [run[solid] for run in found if solid in run], colour, label)
            _dashed(axes, [run[dashed] for run in found if dashed in run], colour)
        axes.set(xlabel="epoch", ylabel=name)
        axes.locator_params(axis="x", integer=True)
    if any(dashed in columns for _, dashed in shown.values()):
        panels[0].plot([], [], color="grey", linestyle="--", label="in training")
    legend_below(figure, panels[0])
    return figure


def score_against_seconds(named: Named, title: str) -> "Figure | None":
    """The score of each run against its seconds of training; runs of one configuration have one colour."""
    curves = {label: _of_runs(group) for label, group in named}
    column = score_column(_columns(curves))
    if column is None:
        return None
    figure, axes = new_figure()
    ends = []
    for colour, (label, found) in zip(colours(named), curves.items(), strict=True):
        timed = [run for run in found if column in run and "time_seconds" in run]
        for number, run in enumerate(timed):
            seconds = list(itertools.accumulate(run["time_seconds"]))
            ends.append(seconds[-1])
            axes.plot(seconds, run[column], color=colour, alpha=0.8, linewidth=1.2, label=None if number else label)
    if not ends:
        return None
    if min(ends) > 0 and max(ends) > 10 * min(ends):
        axes.set_xscale("log")
    axes.set(title=title, xlabel="seconds of training", ylabel=f"{readable(column)} (validation)")
    legend_below(figure, axes)
    return figure


def _columns(curves: dict[str, list[Curves]]) -> list[str]:
    """The columns that any run has, each once, in their order."""
    found: dict[str, None] = {}
    for of_runs in curves.values():
        for run in of_runs:
            found.update(dict.fromkeys(run))
    return list(found)


def _panels(columns: list[str]) -> dict[str, tuple[str, str]]:
    """Panel -> the column of validation and that of training."""
    wanted = ["validation_loss" if "validation_loss" in columns else "train_loss"]
    for column in columns:
        if column.startswith("validation_") and _in_training(column) in columns:
            wanted.append(column)
    score = score_column(columns)
    if score is not None:
        wanted.append(score)
    panels = {}
    for column in wanted:
        if column in columns:
            dashed = _in_training(column) if column.startswith("validation_") else ""
            panels[readable(column)] = (column, dashed)
    return panels


def _in_training(column: str) -> str:
    return column.replace("validation_", "train_", 1)


def _of_runs(group: Group) -> list[Curves]:
    return list(filter(None, map(_curves, group.runs)))


def _curves(run: Run) -> Curves:
    """Finite values only: a column with another is left out, and so is what an unfinished row lacks."""
    rows: list[dict[str, str]] = of_table(run.directory / "metrics.csv", lambda rows: rows, [])
    found: Curves = {}
    if not rows:
        return found
    for column in filter(None, rows[0]):  # cells beyond the header come under None
        try:
            values = [float(row[column]) for row in rows]
        except (TypeError, ValueError):
            continue
        if all(map(math.isfinite, values)):
            found[column] = values
    return found


def _seeds(axes: "Axes", curves: list[list[float]], colour: str, label: str) -> None:
    columns = _by_epoch(curves)
    epochs = range(1, len(columns) + 1)
    marker = "o" if len(columns) == 1 else None  # a line of one point cannot be seen
    axes.plot(epochs, list(map(mean, columns)), color=colour, label=label, marker=marker, markersize=4)
    if len(curves) > 1:
        axes.fill_between(epochs, list(map(min, columns)), list(map(max, columns)), color=colour, alpha=0.2, lw=0)


def _dashed(axes: "Axes", curves: list[list[float]], colour: str) -> None:
    columns = _by_epoch(curves)
    axes.plot(range(1, len(columns) + 1), list(map(mean, columns)), color=colour, linestyle="--", linewidth=0.9)


def _by_epoch(curves: list[list[float]]) -> list[list[float]]:
    """The values of each epoch, of the runs that have come so far."""
    columns: list[list[float]] = []
    for epoch in range(max(map(len, curves), default=0)):
        columns.append([curve[epoch] for curve in curves if epoch < len(curve)])
    return columns
