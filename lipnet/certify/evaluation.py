"""Forward passes that measure what passes between the modules."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.certify.arithmetic import coarse_products
from lipnet.certify.bound import composition
from lipnet.layers import BlockedConv2d, BlockedLinear, Concat, PaddedConv2d, Residual
from lipnet.layers.blocks.composition import each_of
from lipnet.layers.convolutions.padded import same_conv2d


def children(module: nn.Module) -> Iterator[nn.Module]:
    """Of a sequence, in the order of evaluation; ``children()`` leaves out a module's second use."""
    for child in module._modules.values():
        assert child is not None
        yield child


class Evaluation:
    """Forward passes of a network that measure what enters each module, and the sums of absolute products there.

    Args:
        network: in evaluation mode; its weights are read now.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        parts = [part for part in network.modules() if type(part) in _LINEAR]
        self.sums = {part: _absolute_sums(part) for part in parts}

    def run(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs, and float64 ``(examples, 2 · count)``, rounded up: a norm and a sum for each of count places.

        The norm is that of the inputs of a module that is no composition, of the result of an addition, or, at the end,
        of the outputs; places are in the order of evaluation. The sum is ``|(|W| |x|)|`` at linear layers, infinite
        elsewhere.
        """
        places: list[Tensor] = []
        with plain_sums():
            outputs = self._through(self.network, inputs, places)
        self._note(outputs, None, places)
        return outputs, torch.stack(places, dim=1)

    def _through(self, module: Any, inputs: Tensor, places: list[Tensor]) -> Tensor:
        kind = composition(module)

        def through(part: nn.Module, inputs: Tensor) -> Tensor:
            return self._through(part, inputs, places)

        if kind is nn.Sequential:
            for child in children(module):
                inputs = self._through(child, inputs, places)
            return inputs
        if kind is Residual:
            shortcut, branch = each_of(inputs, [module.shortcut, module.branch], through)
            total = shortcut + branch
            self._note(total, None, places)
            return total
        if kind is Concat:
            return torch.cat(each_of(inputs, module.branches, through), dim=1)
        self._note(inputs, self.sums.get(module), places)
        return module(inputs)

    def _note(self, inputs: Tensor, sums: Callable[[Tensor], Tensor] | None, places: list[Tensor]) -> None:
        norms = norm_of_each(inputs)
        places.extend((norms, torch.full_like(norms, math.inf) if sums is None else sums(inputs)))


_LINEAR = (nn.Linear, BlockedLinear, PaddedConv2d, BlockedConv2d)


def _absolute_sums(layer: Any) -> Callable[[Tensor], Tensor]:
    """``|(|W| |x|)|`` of each of a layer's inputs, float64, rounded up but for what float32 flushes to 0."""
    weight = layer.weight.detach().abs()
    if weight.device.type == "cpu" and not coarse_products():
        weight = weight.float()  # a few digits suffice
    slack = 1 + 4 * (weight[0].numel() + 8) * torch.finfo(weight.dtype).eps  # of sums without cancellation

    def sums(inputs: Tensor) -> Tensor:
        inputs = inputs.abs().to(weight.dtype)
        if isinstance(layer, nn.Linear):
            return slack * norm_of_each(functional.linear(inputs, weight))
        conv, padding = layer.conv, layer.padding
        dilation, stride = conv.dilation[0], conv.stride[0]
        images = same_conv2d(inputs, weight, None, padding, layer.padding_mode, stride, dilation, conv.groups)
        return slack * norm_of_each(images)

    return sums


@contextlib.contextmanager
def plain_sums() -> Iterator[None]:
    """Without libraries that may convolve by Winograd's or Fourier transforms: the proof is for sums of products."""
    with torch.backends.cudnn.flags(enabled=False, allow_tf32=False), torch.backends.nnpack.flags(enabled=False):
        yield


def norm_of_each(inputs: Tensor) -> Tensor:
    """L2 norms of ``(n, ...)`` inputs, float64 ``(n,)``, rounded up."""
    rows = inputs.flatten(1) if inputs.dim() > 1 else inputs[:, None]
    norms = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    # A sum of squares errs by n eps of itself at most; squares below 2^-1022 may be lost.
    return norms * (1 + (rows.shape[1] + 4) * torch.finfo(torch.float64).eps) + rows.shape[1] * 2.0**-500
