"""What the figures over many runs have in common: axes, colours, and curves with a band over seeds."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lipnet.display.canvas import blank_figure
from lipnet.results.groups import Group
from lipnet.runs.files import read_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger("lipnet")

Found = TypeVar("Found")

MARKERS = "vs^D*PX"
COLOURS = [f"C{number}" for number in range(10)]

Named = list[tuple[str, Group]]  # label, group


def new_figure() -> "tuple[Figure, Axes]":
    """A figure of one panel."""
    figure = blank_figure(figsize=(6.5, 4.3), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    return figure, axes


def new_panels(count: int, title: str) -> "tuple[Figure, list[Axes]]":
    """A figure of some panels side by side, with room for a legend below them."""
    figure = blank_figure(figsize=(4.2 * count + 1, 4.3), layout="constrained")
    figure.suptitle(title)
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure, panels


def legend_below(figure: "Figure", axes: "Axes") -> None:
    """One legend for all panels: curves leave no corner free."""
    handles, labels = axes.get_legend_handles_labels()
    figure.set_figheight(figure.get_figheight() + 0.17 * len(labels))
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside lower center")


def band(
    axes: "Axes", x: Sequence[float], curves: list[list[float]], colour: str, label: str, marker: str | None = None
) -> None:
    """The mean of equally long curves, and a band from the least to the greatest."""
    if not curves:
        return
    columns = list(zip(*curves, strict=True))
    axes.plot(x, list(map(mean, columns)), color=colour, label=label, marker=marker, markersize=4)
    if len(curves) > 1:
        axes.fill_between(x, list(map(min, columns)), list(map(max, columns)), color=colour, alpha=0.2, linewidth=0)


def of_table(path: Path, read: Callable[[list[dict[str, str]]], Found], nothing: Found) -> Found:
    """What ``read`` makes of a CSV file's rows; ``nothing``, and a warning, where they are damaged."""
    try:
        return read(read_csv(path))
    except (OSError, ValueError, LookupError, TypeError) as error:
        log.warning("%s: cannot be read (%s); left out of the figures", path, error or type(error).__name__)
        return nothing


def finite(text: str) -> float:
    """The number that a cell holds; ``ValueError`` where that is none, or infinite."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value."""
    return sum(values) / len(values)


def colours(named: Named) -> list[str]:
    """One for each label; they repeat after ten."""
    return [COLOURS[number % len(COLOURS)] for number in range(len(named))]


def place_of_layer(name: str) -> str:
    """``image``, or the kind and place of a layer, which methods share: ``conv 1``."""
    number, _, kind = name.partition("_")
    if not kind:
        return "image"
    return f"conv {number}" if "Conv" in kind else f"linear {number}"
