"""The figure of a posterior: sampled functions against what is permitted, or classes on the plane."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lipnet.display.canvas import blank_figure
from lipnet.tasks.bayes.constraints import Constraint
from lipnet.tasks.bayes.density import Density
from lipnet.tasks.bayes.evaluation import mean_prediction, outputs_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURE = "posterior_functions.png"
_SHOWN, _SIDE = 40, 120
_FUNCTION, _FORBIDDEN, _PERMITTED = "#1f4e79", "#c0392b", "#2e7d32"
_CLASSES = ("#c0692b", "#1f4e79", "#2e7d32", "#7d3c98", "#b7950b", "#7f8c8d")


@torch.no_grad()
def posterior_figure(
    density: Density, constraints: list[Constraint], posteriors: dict[str, tuple[Tensor, Tensor]], title: str
) -> "Figure":
    """A panel for each posterior ``(vectors, weights)``; one scale for all."""
    figure = blank_figure(figsize=(5.2 * len(posteriors), 4.4), layout="constrained")
    figure.suptitle(title)
    panels: Any = figure.subplots(1, len(posteriors), squeeze=False, sharex=True, sharey=True)[0]
    coordinates = density.problem.inputs.shape[1]
    for axes, (name, (vectors, weights)) in zip(panels, posteriors.items(), strict=True):
        kept = weights > 0
        shown = vectors[kept], weights[kept] / weights[kept].sum()
        if coordinates == 1 and not density.problem.classifies:
            _curves(axes, density, constraints, *shown)
        elif coordinates == 2 and density.problem.classifies:
            _regions(axes, density, constraints, *shown)
        else:
            _predictions(axes, density, *shown)
        axes.set_title(name)
    return figure


def _curves(axes: "Axes", density: Density, constraints: list[Constraint], vectors: Tensor, weights: Tensor) -> None:
    problem = density.problem
    low, high = problem.domain[0].tolist()
    x = torch.linspace(low, high, 400, dtype=torch.float64)[:, None]
    values = outputs_at(density, vectors, x)[..., 0]
    mean = torch.tensordot(weights, values, dims=1)
    deviation = torch.tensordot(weights, (values - mean) ** 2, dims=1).sqrt()
    line = x[:, 0].tolist()
    lowest, highest = _span(problem.targets, constraints)
    axes.fill_between(
        line, (mean - 2 * deviation).tolist(), (mean + 2 * deviation).tolist(), color=_FUNCTION, alpha=0.12
    )
    for function in values[torch.linspace(0, len(values) - 1, min(_SHOWN, len(values))).long()]:
        axes.plot(line, function.tolist(), color=_FUNCTION, linewidth=0.5, alpha=0.35)
    axes.plot(line, mean.tolist(), color=_FUNCTION, linewidth=2)
    for constraint in constraints:
        _region(axes, constraint, lowest, highest)
    axes.plot(problem.inputs[:, 0].tolist(), problem.targets.tolist(), "o", color="black", markersize=5, zorder=5)
    axes.set(xlim=(low, high), ylim=(lowest, highest), xlabel="x", ylabel="y")


def _region(axes: "Axes", constraint: Constraint, lowest: float, highest: float) -> None:
    low, high = constraint.box[0].tolist()
    x = torch.linspace(low, high, 100, dtype=torch.float64)[:, None]
    line = x[:, 0].tolist()
    for below, above in constraint.forbidden(x):
        between = (below.clamp_min(lowest).tolist(), above.clamp_max(highest).tolist())
        axes.fill_between(line, *between, color=_FORBIDDEN, alpha=0.18, linewidth=0)
    for below, above in constraint.permitted(x):
        for end in (below, above):
            if bool(torch.isfinite(end).all()):
                axes.plot(line, end.tolist(), color=_PERMITTED, linewidth=1.2)


def _span(targets: Tensor, constraints: list[Constraint]) -> tuple[float, float]:
    """What a figure's y axis holds: the targets and the finite ends, with room about them."""
    values = [targets]
    for constraint in constraints:
        for ends in constraint.permitted(constraint.points(50)):
            values += [end[torch.isfinite(end)] for end in ends]
    every = torch.cat(values)
    low, high = float(every.min()), float(every.max())
    room = 0.35 * max(high - low, 1.0)
    return low - room, high + room


def _regions(axes: "Axes", density: Density, constraints: list[Constraint], vectors: Tensor, weights: Tensor) -> None:
    problem = density.problem
    lines = [torch.linspace(low, high, _SIDE, dtype=torch.float64) for low, high in problem.domain.tolist()]
    grid = torch.cartesian_prod(*lines)
    probabilities = mean_prediction(problem, outputs_at(density, vectors, grid), weights)
    classes = probabilities.shape[-1]
    best = probabilities.max(-1)
    axes.contourf(
        lines[0].tolist(), lines[1].tolist(), best.indices.view(_SIDE, _SIDE).T.tolist(),
        levels=[number - 0.5 for number in range(classes + 1)], colors=_CLASSES[:classes], alpha=0.35,
    )  # fmt: skip
    for label in range(classes):
        points = problem.inputs[problem.targets == label]
        axes.plot(
            points[:, 0].tolist(), points[:, 1].tolist(), "o", color=_CLASSES[label], markersize=5, label=f"{label}"
        )
    for constraint in constraints:
        (left, right), (bottom, top) = constraint.box.tolist()
        colour = _CLASSES[constraint.content[0]] if constraint.kind == "classes" else "black"
        axes.plot([left, right, right, left, left], [bottom, bottom, top, top, bottom], color=colour, linewidth=2)
    axes.set(aspect="equal")
    axes.legend(title="class", fontsize=8)


def _predictions(axes: "Axes", density: Density, vectors: Tensor, weights: Tensor) -> None:
    """Of more coordinates: targets against the mean's predictions."""
    problem = density.problem
    inputs, targets = problem.held_out if len(problem.held_out[1]) else (problem.inputs, problem.targets)
    predicted = mean_prediction(problem, outputs_at(density, vectors, inputs), weights)
    if problem.classifies:
        predicted = predicted[:, -1]
    axes.plot(predicted.tolist(), targets.tolist(), ".", color=_FUNCTION, alpha=0.5)
    axes.set(xlabel="predicted", ylabel="target")
