"""The figure of a classifier of points of the square: where it says what, and how far that is proved."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lipnet.certify import certify
from lipnet.certify.plain import to_plain
from lipnet.certify.radius import model_logits
from lipnet.data.images import Split
from lipnet.data.sets.points import SIDE, grid, on_square
from lipnet.display.canvas import blank_figure
from lipnet.options.checks import radius_value
from lipnet.options.config import Config

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OUTSIDE, _INSIDE = "#f2d5b8", "#b9cfe4"
_POINTS = ("#c0692b", "#1f4e79")  # of training, by label


@torch.no_grad()
def decision_regions(network: nn.Module, config: Config, train: Split) -> "Figure":
    """The predictions on the square, the true boundary, training points, and contours of the certified radius.

    Contours are at the radii of the evaluation, where they are reached; the further it is proved, the darker.
    """
    points = grid(config.dataset.name)
    exact, images = to_plain(network.eval()).double(), points.pixels().to(next(network.parameters()).device)
    labels = model_logits(exact, images.double()).argmax(1)
    certificate = certify(exact, images, labels)
    radii, predicted = certificate.radii(torch.float64).cpu(), labels.cpu()
    figure = blank_figure(figsize=(5.6, 5.4), layout="constrained")
    axes = figure.add_subplot()
    axis = torch.linspace(-1, 1, SIDE).tolist()
    axes.contourf(axis, axis, _table(predicted), levels=[-0.5, 0.5, 1.5], colors=[_OUTSIDE, _INSIDE])
    levels = sorted(map(radius_value, config.eval_radii))
    levels = [level for level in levels if level < float(radii.max())]
    for level in levels:  # each darkens those before
        axes.contourf(axis, axis, _table(radii), levels=[level, float(radii.max())], colors="black", alpha=0.07)
    if levels:
        lines = axes.contour(axis, axis, _table(radii), levels=levels, colors="#5d6d7e", linewidths=0.8)
        axes.clabel(lines, fontsize=6)
    for label, colour in enumerate(_POINTS):
        x, y = on_square(train)[train.labels == label].T.cpu().tolist()
        axes.plot(x, y, ".", color=colour, markersize=2, alpha=0.4)
    axes.contour(axis, axis, _table(points.labels), levels=[0.5], colors="black", linewidths=1.4)
    errors = float((predicted != points.labels).double().mean())
    bound = f"L ≤ {certificate.lipschitz:.3g}"
    proved = f"contours: certified radius, {bound}" if levels else bound
    axes.set_title(f"{config.dataset.name}: {1 - errors:.2%} right; line: the true boundary; {proved}", fontsize=8)
    axes.set(aspect="equal", xlim=(-1, 1), ylim=(-1, 1))
    return figure


def _table(values: Tensor) -> list[list[float]]:
    rows: list[list[float]] = values.view(SIDE, SIDE).tolist()
    return rows
