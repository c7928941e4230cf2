"""Convolutions as units: each example's gradient of the kernel (Rochette, Manoel, Tramel 2019, arXiv 1912.06015)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.convolutions.padded import PaddedConv2d, pad
from lipnet.per_example.matrix import MatrixUnit, first, first_tensor
from lipnet.per_example.unit import Call

Convolve = Callable[..., Tensor]
_CONVOLVE: dict[int, Convolve] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}

_LARGE = 2**23  # multiply-adds of one example


@dataclass(frozen=True)
class Geometry:
    """A convolution of inputs that are padded already, but for zeros."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    zeros: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


class ConvUnit(MatrixUnit):
    """A convolution over one, two or three axes."""

    def check(self, arguments: tuple, keywords: Mapping[str, Any]) -> None:
        inputs, axes = first(arguments, keywords), len(self.geometry.kernel)
        if inputs.dim() != axes + 2:
            raise ValueError(f"{self} was given inputs {tuple(inputs.shape)}, without an axis of examples")

    @property
    def geometry(self) -> Geometry:
        return geometry(self.module)

    def sizes(self, call: Call) -> tuple[int, int, int, int]:
        geometry, inputs, (shape, _) = self.geometry, first_tensor(call), call.outputs[0]
        groups = geometry.groups
        inside = inputs.shape[1] // groups * math.prod(geometry.kernel)
        return groups, inside, shape[1] // groups, math.prod(shape[2:])

    def factors(self, inputs: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
        geometry = self.geometry
        patches = unfolded(padded(self.module, inputs), geometry, gradients.shape[2:])
        return patches, gradients.reshape(len(gradients), geometry.groups, -1, patches.shape[-1])

    def of_matrix(self, inputs: Tensor, gradients: Tensor) -> Tensor:
        if self.strategy == "crb":
            return convolved(padded(self.module, inputs), gradients, self.geometry)
        if not self._singly(gradients.shape[1:]):
            products = super().of_matrix(inputs, gradients).flatten(1, 2)
            return products.unflatten(2, (*self.geometry.kernel, -1)).movedim(-1, 2)
        pairs = zip(inputs.split(1), gradients.split(1), strict=True)
        return torch.stack([self.sum_of_matrices(*pair) for pair in pairs])

    def made_of(self, call: Call) -> int:
        (shape, _), (groups, inside, _, positions) = call.outputs[0], self.sizes(call)
        return 0 if self._singly(shape[1:]) else groups * inside * positions

    def _singly(self, outputs: torch.Size) -> bool:
        """Whether torch's own gradient of the kernel, one example after the other, is cheaper than unfolded inputs.

        It is where the operations outweigh the calls, on a CPU, whose convolutions unfold nothing in float32.
        """
        weight = self.of_weight()
        if weight is None or self.strategy != "auto" or weight.device.type != "cpu" or weight.dtype is torch.float64:
            return False
        return outputs.numel() * weight[0].numel() >= _LARGE

    def sum_of_matrices(self, inputs: Tensor, gradients: Tensor) -> Tensor:
        """The ordinary gradient of the kernel, in one convolution."""
        geometry, weight = self.geometry, self.of_weight()
        assert weight is not None
        _, summed, _ = torch.ops.aten.convolution_backward(
            gradients, padded(self.module, inputs), weight.detach().to(gradients), None, geometry.stride,
            geometry.zeros, geometry.dilation, False, [0] * len(geometry.kernel), geometry.groups,
            (False, True, False),
        )  # fmt: skip
        found: Tensor = summed
        return found


def geometry(module: nn.Module) -> Geometry:
    """Of torch's convolutions, of constrained ones, and of those behind a padding layer."""
    if isinstance(module, ConstrainedConv2d):
        kernel, stride, dilation = ((size,) * 2 for size in (module.kernel_size, module.stride, module.dilation))
        return Geometry(kernel, stride, (0, 0), dilation, module.groups)
    conv = module.conv if isinstance(module, PaddedConv2d) else module
    assert isinstance(conv, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    zeros = (0,) * len(conv.kernel_size) if isinstance(conv.padding, str) or _pads(conv) else conv.padding
    return Geometry(conv.kernel_size, conv.stride, zeros, conv.dilation, conv.groups)


def padded(module: nn.Module, inputs: Tensor) -> Tensor:
    """The inputs as the convolution takes them: with all padding but ``Geometry.zeros``."""
    if isinstance(module, ConstrainedConv2d | PaddedConv2d):
        return pad(inputs, module.padding, module.padding_mode)
    assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    if not (isinstance(module.padding, str) or _pads(module)):
        return inputs
    mode = module.padding_mode if _pads(module) else "constant"
    return functional.pad(inputs, module._reversed_padding_repeated_twice, mode)


def _pads(conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> bool:
    return conv.padding_mode != "zeros"


def unfolded(inputs: Tensor, geometry: Geometry, outputs: torch.Size) -> Tensor:
    """The patches that the kernel sees, ``(b, groups, kernel · in / groups, positions)``, of padded inputs.

    They are copied in the order in which more of a patch, or of its neighbours, is one piece of memory.
    """
    if any(geometry.zeros):
        inputs = functional.pad(inputs, [amount for amount in reversed(geometry.zeros) for _ in range(2)])
    batch, channels, *_ = inputs.shape
    groups, positions = geometry.groups, math.prod(outputs)
    inside = channels // groups
    by_patch = groups == 1 and _run_of_patch(geometry, channels) > _run_of_places(geometry, outputs)
    inputs = inputs.movedim(1, -1).contiguous().movedim(-1, 1) if by_patch else inputs.contiguous()
    of_example, of_channel, *steps = inputs.stride()
    taps = [step * spread for step, spread in zip(steps, geometry.dilation, strict=True)]
    places = [step * stride for step, stride in zip(steps, geometry.stride, strict=True)]
    if by_patch:
        size, strides = (*outputs, *geometry.kernel, inside), (*places, *taps, of_channel)
        patches = inputs.as_strided((batch, *size), (of_example, *strides))
        return patches.reshape(batch, 1, positions, -1).mT
    size = (groups, *geometry.kernel, inside, *outputs)
    strides = (inside * of_channel, *taps, of_channel, *places)
    patches = inputs.as_strided((batch, *size), (of_example, *strides))
    return patches.reshape(batch, groups, -1, positions)


def _run_of_patch(geometry: Geometry, channels: int) -> int:
    """How many numbers of a patch lie beside each other, with channels last."""
    return channels * (geometry.kernel[-1] if geometry.dilation[-1] == 1 else 1)


def _run_of_places(geometry: Geometry, outputs: torch.Size) -> int:
    """How many numbers that one tap meets lie beside each other, with channels first."""
    return outputs[-1] if geometry.stride[-1] == 1 else 1


def convolved(inputs: Tensor, gradients: Tensor, geometry: Geometry) -> Tensor:
    """Each example's gradient of the kernel, ``(b, out, in / groups, *kernel)``, by one convolution of padded inputs.

    The gradients of the outputs are its kernels, and examples its groups; stride and dilation change places. The paper
    makes channels an additional axis of the images; here they are the batch, so that three axes need no fourth.
    """
    batch, channels = inputs.shape[:2]
    outside, inside = gradients.shape[1], channels // geometry.groups
    split = inputs.reshape(batch, geometry.groups, inside, *inputs.shape[2:])
    images = split.movedim(2, 0).reshape(inside, batch * geometry.groups, *inputs.shape[2:])
    kernels = gradients.reshape(batch * outside, 1, *gradients.shape[2:])
    found = _CONVOLVE[len(geometry.kernel)](
        images, kernels, None, geometry.dilation, geometry.zeros, geometry.stride, batch * geometry.groups
    )
    for axis, size in enumerate(geometry.kernel, start=2):  # a stride that does not divide the image leaves more
        found = found.narrow(axis, 0, size)
    return found.reshape(inside, batch, outside, *geometry.kernel).movedim(0, 2)
