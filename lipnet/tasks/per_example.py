"""Gradients of single examples while a network trains: their norms at the input, and by each layer's weight.

The gradient of a batch is a mean, in which examples that a network has lost sight of and those that it overrates cannot
be told apart.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from lipnet.display.bars import draw_bars
from lipnet.display.canvas import blank_figure
from lipnet.layers import PaddedConv2d
from lipnet.layers.constrained import Constrained
from lipnet.per_example import effective_parameters, recording
from lipnet.runs.files import write_csv
from lipnet.training.tracker import Tracker, readable_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURE, TABLE = "per_example.png", "per_example.csv"
_QUANTILES = 21
_BINS = 40
_FAR = 3  # times the largest norm: a bound beyond that would leave the histogram a line


class Function(NamedTuple):
    """One number for each example.

    Attributes:
        values: outputs of the network -> ``(examples,)``.
        slope: its Lipschitz constant, by the outputs.
    """

    values: Callable[[Tensor], Tensor]
    slope: float = 1.0


class Probe(NamedTuple):
    """What gradients are taken of.

    Attributes:
        network: in evaluation mode.
        inputs: one for each example.
        functions: by name, those whose gradients at the inputs are taken; by the weights it is the last one's.
    """

    network: nn.Module
    inputs: Tensor
    functions: Mapping[str, Function]


class Norms(NamedTuple):
    """L2 norms of each example's gradients, float64 on the CPU.

    Attributes:
        inputs: by function.
        weights: by layer, in the order of the network, as ``0_BCOPConv2d``.
    """

    inputs: dict[str, Tensor]
    weights: dict[str, Tensor]

    def by_tag(self) -> dict[str, Tensor]:
        """All of them: ``inputs/margin``, ``weights/0_BCOPConv2d``."""
        return {f"{kind}/{name}": norms for kind, found in self._asdict().items() for name, norms in found.items()}


def critic_probe(network: nn.Module, inputs: Tensor) -> Probe:
    """Of a network with one output."""
    return Probe(network, inputs, {"critic": Function(lambda outputs: outputs[:, 0])})


def gradient_norms(probe: Probe) -> Norms:
    """The norms as the network is now.

    The weights are the effective ones, and the gradients by them those of the last function, not of the loss: where
    a loss is 0, or nearly, its gradient is small whatever the layers do.
    """
    inputs = probe.inputs.detach().clone().requires_grad_()
    with torch.enable_grad(), recording(probe.network) as tape:
        outputs = probe.network(inputs)
        totals = {name: function.values(outputs).sum() for name, function in probe.functions.items()}
        gradients = {name: torch.autograd.grad(total, inputs, retain_graph=True)[0] for name, total in totals.items()}
        tape.backward(list(totals.values())[-1])
    squares = tape.squared_norms()
    weights: dict[str, Tensor] = {}
    for name, source in effective_parameters(probe.network).items():
        if isinstance(source, Constrained) or source.dim() > 1:  # neither biases nor slopes of activations
            layer = _layer(probe.network, name)
            weights[layer] = weights.get(layer, 0) + squares[name].double().cpu()
    return Norms(
        {name: gradient.double().flatten(1).norm(dim=1).cpu() for name, gradient in gradients.items()},
        {layer: square.sqrt() for layer, square in weights.items()},
    )


def _layer(network: nn.Module, parameter: str) -> str:
    """The layer that a parameter belongs to, called as in ``singular_values.csv``."""
    name = parameter.rpartition(".")[0]
    outer = name.rpartition(".")[0]
    if name and isinstance(network.get_submodule(outer), PaddedConv2d):
        name = outer
    return f"{name}_{type(network.get_submodule(name)).__name__}"


def show_gradients(probe: Probe, lipschitz: float | None, directory: Path, tracker: Tracker, epoch: int) -> None:
    """Histograms and a figure for TensorBoard, the figure as a file, and quantiles in a table.

    Args:
        lipschitz: a bound on the network's constant, where there is one.
    """
    norms = gradient_norms(probe)
    for tag, values in norms.by_tag().items():
        tracker.gradient_norms(tag, values, epoch)
    rows = quantile_rows(norms, epoch)
    write_csv(directory / TABLE, [*_earlier(directory / TABLE, rows[0], epoch), *rows])
    bounds = {name: lipschitz and lipschitz * function.slope for name, function in probe.functions.items()}
    figure = gradients_figure(norms, bounds, f"gradients of {len(probe.inputs)} single examples, epoch {epoch}")
    figure.savefig(directory / FIGURE, dpi=100)
    tracker.figure("per_example/gradients", figure, epoch)


def _earlier(table: Path, row: dict[str, Any], epoch: int) -> list[dict[str, str]]:
    """The rows of earlier epochs; those of later ones are of an attempt that was stopped."""
    return [found for found in readable_rows(table) if int(found["epoch"]) < epoch and found.keys() == row.keys()]


def quantile_rows(norms: Norms, epoch: int) -> list[dict[str, Any]]:
    """A row a quantile (0, 0.05, ..., 1), a column for each kind of gradient."""
    fractions = torch.linspace(0, 1, _QUANTILES, dtype=torch.float64)
    columns = {tag: values.quantile(fractions).tolist() for tag, values in norms.by_tag().items()}
    return [
        {
            "epoch": epoch,
            "quantile": round(float(fraction), 4),
            **{tag: float(f"{values[row]:.6g}") for tag, values in columns.items()},
        }
        for row, fraction in enumerate(fractions)
    ]


def gradients_figure(norms: Norms, bounds: Mapping[str, float | None], title: str) -> "Figure":
    """A histogram for each function, and a bar for each layer."""
    wide = max(4.0, 0.5 * len(norms.weights))
    figure = blank_figure(figsize=(3.5 * len(norms.inputs) + wide, 3.8), layout="constrained")
    figure.suptitle(title, fontsize=10)
    widths = [3.5] * len(norms.inputs) + [wide]
    *histograms, through = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    for axes, (name, values) in zip(histograms, norms.inputs.items(), strict=True):
        _histogram(axes, name, values, bounds[name])
    fractions = torch.linspace(0, 1, _QUANTILES, dtype=torch.float64)
    draw_bars(through, list(norms.weights), [values.quantile(fractions).tolist() for values in norms.weights.values()])
    through.set_title(f"{list(norms.inputs)[-1]}, by each layer's weight", fontsize=9)
    through.set_ylabel("norm of the gradient")
    through.tick_params(axis="y", which="both", labelsize=7)
    least, greatest = (float(end) for end in torch.cat(list(norms.weights.values())).aminmax())
    if greatest > 10 * least > 0:
        through.set_yscale("log")
    else:
        through.set_ylim(bottom=0)
    return figure


def _histogram(axes: "Axes", name: str, values: Tensor, bound: float | None) -> None:
    largest = float(values.max())
    near = bound is not None and bound <= _FAR * largest
    right = 1.05 * max(largest, bound if near and bound is not None else 0) or 1.0
    axes.hist(values.tolist(), bins=_BINS, range=(0, right), color="C0", alpha=0.6)
    if bound is not None and near:
        axes.axvline(bound, color="black", linewidth=1, linestyle="--", label=f"at most {bound:.4g} (proved)")
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set_title(f"{name}, at the input", fontsize=9)
    axes.set(xlabel="norm of the gradient", ylabel="examples", xlim=(0, right))
