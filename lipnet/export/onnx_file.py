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
        traced = _SecondPass(network) if isinstance(network, Assured) else network
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
        self.network._modules = dict(network._modules) | {"exact": nn.Sequential()}
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
        return Residual(inside["branch"], inside["shortcut"]) if kind is Residual else kind(*inside.values())
    if isinstance(layer, PaddedConv2d):
        return _MatrixConv2d(layer, shape)
    return _Rearranged(layer, shape) if isinstance(layer, nn.Upsample | nn.ZeroPad2d) else _Wide(layer)


def _pixel_numbers(shape: Shape) -> Tensor:
    """An image of a shape whose pixels are 1, 2, 3, ...: padding adds 0."""
    _, height, width = shape
    return torch.arange(1, height * width + 1, dtype=torch.float64).view(1, 1, height, width)


def _with_zero(images: Tensor) -> Tensor:
    """``(batch, channels, 1 + pixels)``: a zero, then the pixels."""
    return functional.pad(images.flatten(2), (1, 0))
