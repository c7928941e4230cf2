"""Learned activations: a figure of each, over what arrives there, and how many pieces they have."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lipnet.certify.plain import to_plain
from lipnet.display.canvas import blank_figure
from lipnet.layers.activations.spline import FixedSpline, LinearSpline
from lipnet.training.tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE = "activations.png"
_CHANNELS, _POINTS, _BINS = 16, 300, 40


def linear_regions(network: nn.Module) -> dict[str, float]:
    """By TensorBoard tag, the mean over all splines of a network as it would be deployed; empty where it has none."""
    layers = [layer.fixed() if isinstance(layer, LinearSpline) else layer for layer in network.modules()]
    counts = [layer.linear_regions().double() for layer in layers if isinstance(layer, FixedSpline)]
    return {"train/linear_regions": float(torch.cat(counts).mean())} if counts else {}


def show_activations(network: nn.Module, inputs: Tensor, directory: Path, tracker: Tracker, step: int) -> None:
    """Writes the figure of a network that has splines, for what arrives there of some inputs."""
    figure = activations_figure(network, inputs)
    if figure is not None:
        figure.savefig(directory / FIGURE, dpi=100)
        tracker.figure("test/activations", figure, step)


@torch.no_grad()
def activations_figure(network: nn.Module, inputs: Tensor) -> "Figure | None":
    """A row a layer and a column a channel, the first few; behind each function, the histogram of its inputs."""
    plain = to_plain(network.eval(), blocked=False)
    layers = _splines(plain)
    if not layers:
        return None
    arrived = _arrived(plain, layers, inputs)
    columns = max(min(_CHANNELS, layer.splines) for layer in layers.values())
    figure = blank_figure(figsize=(1.1 * columns + 1, 1.2 * len(layers) + 0.5), layout="constrained")
    figure.suptitle("learned activations, and what arrives at them", fontsize=9)
    cells = figure.subplots(len(layers), columns, squeeze=False)
    for line, (name, layer) in zip(cells, layers.items(), strict=True):
        line[0].set_ylabel(f"layer {name}", fontsize=7)
        points = torch.linspace(-1.25 * layer.range, 1.25 * layer.range, _POINTS).to(layer.slopes)
        curves = layer(points[:, None].expand(-1, layer.splines)).cpu()
        for channel, axes in enumerate(line):
            if channel >= layer.splines:
                axes.axis("off")
                continue
            axes.tick_params(labelsize=5, length=2)
            axes.plot(points.tolist(), curves[:, channel].tolist(), color="#1f4e79", linewidth=1)
            numbers = arrived[name] if layer.splines == 1 else arrived[name][:, channel]
            behind = axes.twinx()
            ends = float(points[0]), float(points[-1])
            behind.hist(numbers.flatten().clamp(*ends).tolist(), bins=_BINS, range=ends, color="#e59866", alpha=0.5)
            behind.set(yticks=[], xlim=ends)
    return figure


def _splines(plain: nn.Module) -> dict[str, FixedSpline]:
    return {name: layer for name, layer in plain.named_modules() if isinstance(layer, FixedSpline)}


def _arrived(plain: nn.Module, layers: dict[str, FixedSpline], inputs: Tensor) -> dict[str, Tensor]:
    """By name, the inputs of these layers; of one that is used twice, those of the last time."""
    names: dict[nn.Module, str] = {layer: name for name, layer in layers.items()}
    arrived: dict[str, Tensor] = {}

    def record(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        arrived[names[layer]] = given[0].cpu()

    hooks = [layer.register_forward_pre_hook(record) for layer in names]
    plain(inputs)
    for hook in hooks:
        hook.remove()
    return arrived
