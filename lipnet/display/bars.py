"""Distributions beside each other: a bar for each, thin over all values, thicker over those in the middle."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS = ((0, 100, 1.0), (10, 90, 3.5), (25, 75, 7.0))  # percentiles from, to; line width


def draw_bars(axes: "Axes", labels: Sequence[str], columns: Sequence[Sequence[float]]) -> None:
    """A bar for each column.

    Args:
        columns: the quantiles of each distribution, in ascending order and at equal distances from 0 to 1.
    """
    for place, values in enumerate(columns, start=1):
        for low, high, width in _BARS:
            ends = [_at(values, low), _at(values, high)]
            axes.plot([place, place], ends, color="C0", linewidth=width, alpha=0.6, solid_capstyle="butt")
        axes.plot(place, _at(values, 50), "_", color="black", markersize=10)
    axes.set_xticks(range(1, len(columns) + 1), labels, rotation=90, fontsize=7)
    axes.set_xlim(0.4, len(columns) + 0.6)
    axes.grid(alpha=0.3, axis="y")


def _at(values: Sequence[float], percent: int) -> float:
    return values[percent * (len(values) - 1) // 100]
