"""Figures of a run; drawn without a display."""

import logging
from typing import TYPE_CHECKING

import torch

from lipnet.checks import radius_value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lipnet.tasks.certification import Certification

logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of its font cache otherwise

_CERTIFIED, _COLOURS, _MARKERS = "#1f4e79", {"fgsm": "#e59866", "pgd": "#c0392b"}, {"fgsm": "s", "pgd": "v"}


def accuracy_against_radius(found: "Certification", title: str) -> "Figure":
    """Certified accuracy at every radius as a curve, attacked accuracy at the evaluated ones as points.

    The truth lies between them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    radii = found.radii[found.radii > 0].sort().values
    fraction = torch.arange(len(radii), 0, -1) / len(found.radii)
    axes.step(
        [0, *radii.tolist()], [*fraction.tolist(), 0], where="post", color=_CERTIFIED, label="certified: at least"
    )
    axes.fill_between([0, *radii.tolist()], [*fraction.tolist(), 0], step="post", color=_CERTIFIED, alpha=0.12)
    for name, accuracies in found.attacked.items():
        x = [radius_value(written) for written in accuracies]
        axes.plot(x, list(accuracies.values()), _MARKERS[name], color=_COLOURS[name], label=f"{name.upper()}: at most")
    axes.plot(0, found.clean_accuracy, "o", color="black", label=f"clean: {found.clean_accuracy:.1%}")
    axes.set(title=title, xlabel="L2 radius (pixels in [0, 1])", ylabel="accuracy on the test split", ylim=(0, 1.02))
    axes.set_xlim(left=-0.01)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def adversarial_examples(found: "Certification", radius: str, count: int = 8) -> "Figure":
    """A row of test images, and below each its PGD image and the difference."""
    from matplotlib.figure import Figure

    count = min(count, len(found.images))
    figure = Figure(figsize=(1.3 * count + 1, 4.4), layout="constrained")
    figure.suptitle(f"test images, and the PGD attack within radius {radius}")
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
