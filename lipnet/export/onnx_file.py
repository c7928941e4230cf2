"""The network as an ONNX file, for other runtimes."""

import copy
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.certify import Assured
from lipnet.certify.bound import Shape, composition, output_shape
from lipnet.certify.walk import parts
from lipnet.layers.activations.spline import PlainSpline
from lipnet.layers.blocks.composition import Residual
from lipnet.layers.convolutions.padded import PaddedConv2d


def write_onnx(path: Path, network: nn.Module, shape: Shape, inputs: str = "images", outputs: str = "logits") -> None:
    """Writes a plain network with inputs ``(batch, *shape)``, float32, of any batch size; needs onnx and onnxscript.

    An ``Assured`` one has a second output: which inputs it evaluated again, in an ``If`` that runs where there are any.
    """
    for name in ("onnx_ir", "onnxscript"):  # they tell of every pass
        logging.getLogger(name).setLevel(logging.WARNING)
    assured = isinstance(network, Assured)
    names = [outputs, "evaluated_again"] if assured else [outputs]
    batch = {0: torch.export.Dim("batch")}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converter's own code
        traced = _SecondPass(network) if isinstance(network, Assured) else _with_tables(network)
        program = torch.export.export(traced, (torch.rand(2, *shape),), dynamic_shapes=(batch,))
        torch.onnx.export(
            program, f=str(path), dynamo=True, external_data=False, verbose=False,
            input_names=[inputs], output_names=names,
        )  # fmt: skip


class _SecondPass(nn.Module):
    """An assured network as one graph."""

    def __init__(self, network: Assured) -> None:
        super().__init__()
        self.network = copy.copy(network)
        first = _with_tables(network.network)
        self.network._modules = dict(network._modules) | {"network": first, "exact": nn.Sequential()}
        for layer in parts(network.network, network.shape):
            self.network.exact.append(_in_float64(layer.module, layer.input_shape))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, again = self.network.first(images)
        logits = torch.cond(again.any(), self._evaluate_again, self._keep, (images, logits, again))
        return logits, again

    def _evaluate_again(self, images: Tensor, logits: Tensor, again: Tensor) -> Tensor:
        rows = again.nonzero()[:, 0]
        return logits.index_copy(0, rows, self.network.exact(images.index_select(0, rows).double()))

    def _keep(self, images: Tensor, logits: Tensor, again: Tensor) -> Tensor:
        return logits.clone()


def _with_tables(network: nn.Module) -> nn.Module:
    """A network whose splines have their tables, with layers of its own only where these are."""
    if isinstance(network, PlainSpline):
        return _Tabled(network, torch.float32)
    changed = {name: _with_tables(child) for name, child in network._modules.items() if child is not None}
    if all(network._modules[name] is child for name, child in changed.items()):
        return network
    found = copy.copy(network)
    found._modules = {**network._modules, **changed}
    return found


class _Tabled(nn.Module):
    """A spline by slope and intercept of each piece. Of numbers that make them the converter keeps float32's digits."""

    slopes: Tensor
    intercepts: Tensor
    range: Tensor

    def __init__(self, layer: PlainSpline, dtype: torch.dtype) -> None:
        super().__init__()
        self.splines, self.knots = layer.splines, layer.knots
        slopes, intercepts = PlainSpline.tables(layer.slopes, layer.starts, layer.range, dtype)
        self.register_buffer("slopes", slopes)
        self.register_buffer("intercepts", intercepts)
        self.register_buffer("range", torch.tensor(layer.range, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        scale = self.range.to(inputs.dtype)
        return PlainSpline.at(inputs, self.slopes, self.intercepts, scale, self.splines, self.knots)


class _Wide(nn.Module):
    """A layer in float64, from its float32 weights, which the file then holds once."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        tensors = {**dict(self.layer.named_parameters()), **dict(self.layer.named_buffers())}
        wide = {name: tensor.double() for name, tensor in tensors.items()}
        return torch.func.functional_call(self.layer, wide, inputs)


class _Rearranged(nn.Module):
    """A layer that repeats and moves pixels of ``(batch, channels, height, width)``, by their places."""

    places: Tensor

    def __init__(self, layer: Any, shape: Shape) -> None:
        super().__init__()
        moved = layer(_pixel_numbers(shape))[0, 0]
        self.size = tuple(moved.shape)
        self.register_buffer("places", moved.flatten().long())

    def forward(self, inputs: Tensor) -> Tensor:
        return _with_zero(inputs)[:, :, self.places].unflatten(2, self.size)


class _Sloped(nn.Module):
    """LeakyReLU and PReLU, as a choice between two lines: runtimes have neither in float64."""

    slope: Tensor

    def __init__(self, layer: nn.LeakyReLU | nn.PReLU) -> None:
        super().__init__()
        slope = (
            layer.weight if isinstance(layer, nn.PReLU) else torch.tensor([layer.negative_slope], dtype=torch.float64)
        )
        self.register_buffer("slope", slope)  # of a number, the converter would keep float32's digits

    def forward(self, inputs: Tensor) -> Tensor:
        slope = self.slope.double().view(-1, *[1] * (inputs.dim() - 2))
        return torch.where(inputs > 0, inputs, slope * inputs)


class _MatrixConv2d(nn.Module):
    """A convolution as a matrix product of patches: runtimes have none in float64."""

    places: Tensor

    def __init__(self, layer: PaddedConv2d, shape: Shape) -> None:
        super().__init__()
        self.conv, padding = layer.conv, layer[0]
        conv = self.conv
        padded = padding(_pixel_numbers(shape))
        patches = functional.unfold(padded, conv.kernel_size, conv.dilation, 0, conv.stride)[0]
        self.taps, self.size = len(patches), output_shape(layer, shape)[1:]
        self.register_buffer("places", patches.flatten().long())

    def forward(self, inputs: Tensor) -> Tensor:
        groups, bias = self.conv.groups, self.conv.bias
        patches = _with_zero(inputs)[:, :, self.places].unflatten(2, (self.taps, -1))
        columns = patches.flatten(1, 2).unflatten(1, (groups, -1))
        matrices = self.conv.weight.double().flatten(1).unflatten(0, (groups, -1))
        outputs = (matrices @ columns).flatten(1, 2)
        return (outputs if bias is None else outputs + bias.double()[:, None]).unflatten(2, self.size)


def _in_float64(layer: nn.Module, shape: Shape) -> nn.Module:
    """The layer's second pass, in operations that ONNX Runtime has in float64 on a CPU."""
    kind = composition(layer)
    if kind is not None:
        inside = {part.name: _in_float64(part.module, part.input_shape) for part in parts(layer, shape)}
        whole = Residual(inside["branch"], inside["shortcut"]) if kind is Residual else kind(*inside.values())
        return whole.train(layer.training)
    if isinstance(layer, PaddedConv2d):
        return _MatrixConv2d(layer, shape)
    if isinstance(layer, nn.LeakyReLU | nn.PReLU):
        return _Sloped(layer)
    if isinstance(layer, PlainSpline):
        return _Tabled(layer, torch.float64)
    return _Rearranged(layer, shape) if isinstance(layer, nn.Upsample | nn.ZeroPad2d) else _Wide(layer)


def _pixel_numbers(shape: Shape) -> Tensor:
    """An image of a shape whose pixels are 1, 2, 3, ...: padding adds 0."""
    _, height, width = shape
    return torch.arange(1, height * width + 1, dtype=torch.float64).view(1, 1, height, width)


def _with_zero(images: Tensor) -> Tensor:
    """``(batch, channels, 1 + pixels)``: a zero, then the pixels."""
    return functional.pad(images.flatten(2), (1, 0))
