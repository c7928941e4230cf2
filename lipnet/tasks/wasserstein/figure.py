"""The figure of a Wasserstein estimate: how it came about, and the critic that proves it."""

from typing import TYPE_CHECKING, Any

import torch

from lipnet.data.transport import assignment, cost_matrix
from lipnet.display.canvas import blank_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from lipnet.tasks.wasserstein.evaluation import Estimation
    from lipnet.tasks.wasserstein.results import Distance

_ESTIMATE, _TRUTH, _FIRST, _SECOND = "#1f4e79", "black", "#c0392b", "#2471a3"
_RAYS, _EXAMPLES = 60, 6


def wasserstein_figure(
    found: "Estimation", content: "Distance", rows: list[dict[str, str]], steps_per_epoch: int, title: str
) -> "Figure":
    """The estimate against training steps, and the critic: a curve, a heat map, images, or its values.

    Args:
        content: the ``wasserstein`` part of ``results.json``.
        rows: those of ``metrics.csv``; empty where only an evaluation was made.
    """
    figure = blank_figure(figsize=(11, 4.4), layout="constrained")
    figure.suptitle(title)
    panels: Any = figure.subfigures(1, 2)
    left, right = panels
    _progress(left.add_subplot(), content, rows, steps_per_epoch)
    shape = found.first.shape[1:]
    if len(shape) == 3:
        _extremes(right, found)
    elif shape == (1,):
        _curve(right.add_subplot(), found)
    elif shape == (2,):
        _heat_map(right, found)
    else:
        _histogram(right.add_subplot(), found)
    return figure


def _progress(axes: "Axes", content: "Distance", rows: list[dict[str, str]], steps_per_epoch: int) -> None:
    steps = [int(row["epoch"]) * steps_per_epoch for row in rows]
    low, middle, high = (
        [float(row[f"validation_{name}"]) for row in rows] for name in ("ci_low", "estimate", "ci_high")
    )
    last = steps[-1] if steps else 1
    if len(steps) > 1:
        axes.plot(steps, middle, color=_ESTIMATE, label="estimate on the selection samples")
        axes.fill_between(steps, low, high, color=_ESTIMATE, alpha=0.2, linewidth=0)
        _seconds(axes, steps, rows)
    error = [[content["estimate"] - content["ci_low"]], [content["ci_high"] - content["estimate"]]]
    axes.errorbar(
        [last], [content["estimate"]], error, fmt="o", color=_ESTIMATE, capsize=3,
        label=f"estimate: {content['estimate']:.5g} [{content['ci_low']:.5g}, {content['ci_high']:.5g}]",
    )  # fmt: skip
    certified = content["certified_lower_bound"]
    axes.plot([last], [certified], "^", color=_ESTIMATE, fillstyle="none", label=f"certified: at least {certified:.5g}")
    truth = content.get("true_value")
    if truth is not None:
        axes.axhline(truth, color=_TRUTH, linewidth=1, label=f"true value: {truth:.5g}")
    top = 1.1 * max(content["estimate"], truth or 0.0, *high, 1e-9)
    axes.set(xlabel="training steps", ylabel="Wasserstein-1 distance", ylim=(min(0.0, content["estimate"]), top))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")


def _seconds(axes: "Axes", steps: list[int], rows: list[dict[str, str]]) -> None:
    """A second axis with the seconds of training so far; epochs take about equally long."""
    rate = sum(float(row["time_seconds"]) for row in rows) / steps[-1]
    if rate > 0:
        conversions: Any = (lambda step: step * rate, lambda seconds: seconds / rate)
        above = axes.secondary_xaxis("top", functions=conversions)
        above.set_xlabel("seconds of training", fontsize=8)
        above.tick_params(labelsize=8)


def _curve(axes: "Axes", found: "Estimation") -> None:
    samples = torch.cat((found.first, found.second))
    low, high = float(samples.min()), float(samples.max())
    margin = 0.25 * (high - low)
    x = torch.linspace(low - margin, high + margin, 400, dtype=torch.float64)[:, None]
    axes.plot(x[:, 0], _potential(found, x), color=_ESTIMATE)
    for name, points, colour in (("first", found.first, _FIRST), ("second", found.second, _SECOND)):
        few = points[:200]
        axes.plot(few[:, 0], _potential(found, few), "o", color=colour, markersize=4, label=f"{name} distribution")
    axes.set(xlabel="x", ylabel="critic f / L", title="critic, and samples on it")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def _heat_map(right: "SubFigure", found: "Estimation") -> None:
    axes = right.add_subplot()
    samples = torch.cat((found.first, found.second))
    low, high = samples.quantile(0.005, dim=0), samples.quantile(0.995, dim=0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    x, y = (torch.linspace(float(low[axis]), float(high[axis]), 200, dtype=torch.float64) for axis in (0, 1))
    grid = torch.cartesian_prod(x, y)
    values = _potential(found, grid).view(200, 200).mT
    picture = axes.contourf(x, y, values, levels=24, cmap="viridis")
    right.colorbar(picture, ax=axes, label="critic f / L", shrink=0.6)
    first, second = found.first[:_RAYS], found.second[:_RAYS]
    second = second[assignment(cost_matrix(first, second))]
    for start, end in zip(second, first, strict=True):
        axes.plot([start[0], end[0]], [start[1], end[1]], color="white", linewidth=0.7)
    axes.plot(first[:, 0], first[:, 1], "o", color=_FIRST, markersize=3, label="first distribution")
    axes.plot(second[:, 0], second[:, 1], "o", color=_SECOND, markersize=3, label="second distribution")
    axes.set(title=f"critic, and optimal transport of {len(first)} samples", aspect="equal")
    axes.set(xlim=(float(x[0]), float(x[-1])), ylim=(float(y[0]), float(y[-1])))
    axes.legend(loc="upper right", fontsize=8)


def _histogram(axes: "Axes", found: "Estimation") -> None:
    both = torch.cat((found.values_first, found.values_second))
    bins = torch.linspace(float(both.min()) - 1e-3, float(both.max()) + 1e-3, 80).tolist()
    axes.hist(found.values_second.tolist(), bins, color=_SECOND, alpha=0.6, label="second distribution")
    axes.hist(found.values_first.tolist(), bins, color=_FIRST, alpha=0.6, label="first distribution")
    axes.set(xlabel="critic f / L", ylabel="samples", title="critic's values at the evaluation samples")
    axes.legend(frameon=False)


def _extremes(right: "SubFigure", found: "Estimation") -> None:
    """The samples of either distribution on which the critic is largest and smallest."""
    sides = (("first", found.first, found.values_first), ("second", found.second, found.values_second))
    cells = right.subplots(4, _EXAMPLES, squeeze=False)
    right.suptitle("critic's largest and smallest values, f / L", fontsize=9)
    for index, (name, samples, values) in enumerate(sides):
        order = values.argsort(descending=True)
        chosen = {"largest": order[:_EXAMPLES], "smallest": order[-_EXAMPLES:]}
        for row, (which, rows) in enumerate(chosen.items()):
            line = cells[2 * index + row]
            line[0].set_ylabel(f"{name},\n{which}", fontsize=7)
            for cell in line:
                cell.set(xticks=[], yticks=[])
            for cell, example in zip(line, rows.tolist(), strict=False):
                picture = samples[example].permute(1, 2, 0).clamp(0, 1)
                cell.imshow(picture.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
                cell.set_title(f"{float(values[example]):.2f}", fontsize=7, pad=2)


@torch.no_grad()
def _potential(found: "Estimation", points: torch.Tensor) -> torch.Tensor:
    device = next(iter(found.critic.parameters())).device
    return found.critic(points.to(device))[:, 0].cpu() / found.lipschitz
