"""The figures of an online prediction, from ``stream.csv``."""

from typing import TYPE_CHECKING, Any

import numpy

from lipnet.display.canvas import blank_figure
from lipnet.tasks.online.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OURS, _OPTIMAL = "#1f4e79", "black"


def stream_figure(
    summary: Summary, names: list[str], baselines: list[str], optimal: float | None, title: str
) -> "Figure":
    """Average loss so far, weights through time, regret to the best expert so far, and the last predictions.

    Args:
        names: of the experts.
        optimal: the loss that no strategy falls below in the limit, where it is known.
    """
    figure = blank_figure(figsize=(11, 7.5), layout="constrained")
    figure.suptitle(title)
    panels: Any = figure.subplots(2, 2)
    _losses(panels[0, 0], summary, names, baselines, optimal)
    _weights(figure, panels[0, 1], summary, names)
    _regret(panels[1, 0], summary, names)
    _predictions(panels[1, 1], summary)
    return figure


def running_mean(summary: Summary, column: str) -> numpy.ndarray:
    """The mean of a column over all rounds up to the end of each bin."""
    sizes = numpy.diff(summary.ends, prepend=0)
    found: numpy.ndarray = numpy.cumsum(summary.means[column] * sizes) / summary.ends
    return found


def _losses(axes: "Axes", summary: Summary, names: list[str], baselines: list[str], optimal: float | None) -> None:
    for name in names:
        axes.plot(summary.ends, running_mean(summary, f"loss_{name}"), color="grey", linewidth=0.5, alpha=0.5)
    axes.plot([], [], color="grey", linewidth=0.5, label="each expert")
    for place, name in enumerate(baselines):
        axes.plot(summary.ends, running_mean(summary, f"loss_{name}"), "--", color=f"C{place + 1}", label=name)
    ours = running_mean(summary, "loss")
    axes.plot(summary.ends, ours, color=_OURS, linewidth=2, label="aggregate")
    if optimal is not None:
        axes.axhline(optimal, color=_OPTIMAL, linewidth=1, label="optimal in the limit")
    top = float(numpy.nanmax(ours[len(ours) // 20 :]))
    axes.set(xlabel="rounds", ylabel="average loss so far", ylim=(0, 2 * top or None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)


def _weights(figure: "Figure", axes: "Axes", summary: Summary, names: list[str]) -> None:
    values = numpy.array([summary.means[f"weight_{name}"] for name in names])
    picture = axes.pcolormesh(
        numpy.concatenate(([0], summary.ends)), numpy.arange(len(names) + 1), values, cmap="viridis", vmin=0
    )
    axes.set_yticks(numpy.arange(len(names)) + 0.5, names, fontsize=7 if len(names) < 30 else 4)
    axes.set(xlabel="rounds", title="weights: memory k and Lipschitz constant L")
    figure.colorbar(picture, ax=axes)


def _regret(axes: "Axes", summary: Summary, names: list[str]) -> None:
    experts = numpy.array([running_mean(summary, f"loss_{name}") for name in names])
    regret = (running_mean(summary, "loss") - experts.min(0)) * summary.ends
    axes.plot(summary.ends, regret, color=_OURS)
    axes.axhline(0, color="grey", linewidth=0.6)
    axes.set(xlabel="rounds", ylabel="loss above the best expert's so far", title="regret")
    axes.grid(alpha=0.3)


def _predictions(axes: "Axes", summary: Summary) -> None:
    """Of the first coordinate, with what an error of the radius could make of them."""
    window = summary.window
    outcome = next(name for name in window if name.startswith("outcome"))
    prediction = next(name for name in window if name.startswith("prediction"))
    last = int(summary.ends[-1])
    rounds = numpy.arange(last - len(window[outcome]) + 1, last + 1)
    low, high = (window[prediction] + sign * window["sensitivity"] for sign in (-1, 1))
    axes.plot(rounds, window[outcome], ".-", color="grey", linewidth=0.6, markersize=3, label="outcome")
    axes.plot(rounds, window[prediction], color=_OURS, linewidth=1.2, label="prediction")
    axes.fill_between(rounds, low, high, color=_OURS, alpha=0.2, linewidth=0, label="certified sensitivity")
    axes.set(xlabel="round", title=f"the last {len(rounds)} rounds")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
