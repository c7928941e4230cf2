"""Figures of a run; drawn without a display."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lipnet.display.canvas import blank_figure
from lipnet.options.checks import radius_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lipnet.tasks.robustness.conformal import Found
    from lipnet.tasks.robustness.evaluation import Certification

_CERTIFIED, _PER_PAIR = "#1f4e79", "#2e9e8f"
_COLOURS = ("#e59866", "#c0392b", "#7d3c98", "#5d6d7e", "#b7950b", "#d98880", "#117a65", "#2874a6")
_MARKERS = ("s", "v", "o", "^", "D", "p", "*", "X")


def accuracy_against_radius(found: "Certification", title: str) -> "Figure":
    """Certified accuracy at every radius as a curve, attacked accuracy at the evaluated ones as points.

    The truth lies between them. The certificate from pairs of classes has a curve where it differs visibly.
    """
    figure = blank_figure(figsize=(7.6, 4), layout="constrained")
    axes = figure.add_subplot()
    _curve(axes, found.radii, _CERTIFIED, "certified: at least")
    if float((found.radii_per_pair - found.radii).max()) > 0.01 * float(found.radii.max()):
        _curve(axes, found.radii_per_pair, _PER_PAIR, "certified per pair: at least")
    for number, (name, attacked) in enumerate(found.attacked.items()):
        x = [radius_value(written) for written in attacked.accuracy]
        few = f" (first {attacked.examples:,})" if attacked.examples < len(found.radii) else ""
        marker, color = _MARKERS[number % len(_MARKERS)], _COLOURS[number % len(_COLOURS)]
        (points,) = axes.plot(x, list(attacked.accuracy.values()), marker, color=color, label=f"{name}: at most{few}")
        points.set(fillstyle="none", markersize=7, markeredgewidth=1.6)  # so that one does not hide another
    axes.plot(0, found.clean_accuracy, "o", color="black", label=f"clean: {found.clean_accuracy:.1%}")
    axes.set(title=title, xlabel="L2 radius (pixels in [0, 1])", ylabel="accuracy on the test split", ylim=(0, 1.02))
    axes.set_xlim(left=-0.01)
    axes.grid(alpha=0.3)
    figure.legend(frameon=False, loc="outside right upper")
    return figure


def _curve(axes: "Axes", radii: Tensor, color: str, label: str) -> None:
    sizes = radii[radii > 0].sort().values
    fraction = torch.arange(len(sizes), 0, -1) / len(radii)
    x, y = [0, *sizes.tolist()], [*fraction.tolist(), 0]
    axes.step(x, y, where="post", color=color, label=label)
    axes.fill_between(x, y, step="post", color=color, alpha=0.12)


def conformal_sets_against_radius(found: "Found", largest: float, title: str) -> "Figure":
    """Coverage and mean size of the sets for every radius as curves, under attacks at the evaluated ones as points."""
    figure = blank_figure(figsize=(9.6, 4), layout="constrained")
    figure.suptitle(f"{title}: conformal sets, alpha = {found.alpha:g}")
    covering, sizes = figure.subplots(1, 2)
    radii, coverage, size = found.curves(largest)
    covering.plot(radii, coverage, color=_CERTIFIED, label="clean")
    covering.axhline(1 - found.alpha, color="grey", linestyle="--", linewidth=0.8, label="1 - alpha, promised")
    covering.axhline(found.proved, color=_PER_PAIR, linewidth=0.8, label="proved of these examples")
    sizes.plot(radii, size, color=_CERTIFIED, label="clean")
    for axes, tables in (
        (covering, {"attacked": found.attacked_covered, "attacked, sets for radius 0": found.plain_covered}),
        (sizes, {"attacked": found.attacked_sizes}),
    ):
        for number, (label, table) in enumerate(tables.items()):
            if table:
                x, y = (
                    [radius_value(radius) for radius in table],
                    [float(each.double().mean()) for each in table.values()],
                )
                (points,) = axes.plot(x, y, _MARKERS[number], color=_COLOURS[number], label=label)
                points.set(fillstyle="none", markersize=7, markeredgewidth=1.6)
        axes.set(xlabel="L2 radius (pixels in [0, 1])")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    covering.set(ylabel="coverage on the test split", ylim=(0, 1.02))
    sizes.set(ylabel="classes in a set", ylim=(0, None))
    return figure


def adversarial_examples(found: "Certification", radius: str, count: int = 8) -> "Figure":
    """A row of test images, and below each what ``found.shown`` made of it and the difference."""
    count = min(count, len(found.images))
    figure = blank_figure(figsize=(1.3 * count + 1, 4.4), layout="constrained")
    figure.suptitle(f"test images, and the attack {found.shown} within radius {radius}")
    rows = ("image", "attacked", "difference")
    difference = found.adversarial - found.images
    scale = float(difference.abs().max().clamp_min(1e-6))
    pictures = (found.images, found.adversarial, 0.5 + difference / (2 * scale))
    for row, (name, batch) in enumerate(zip(rows, pictures, strict=True)):
        for column in range(count):
            axes = figure.add_subplot(len(rows), count, row * count + column + 1)
            picture = batch[column].permute(1, 2, 0).clamp(0, 1)
            axes.imshow(picture.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            if column == 0:
                axes.set_ylabel(name)
            if row == 0:
                axes.set_title(f"radius {found.radii[column]:.2f}", fontsize=8)
    return figure
