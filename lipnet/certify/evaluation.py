"""Forward passes that measure what passes between the modules."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.certify.arithmetic import coarse_products
from lipnet.certify.bound import composition, nearest_type
from lipnet.certify.walk import named_parts
from lipnet.layers.blocked import BlockedConv2d, BlockedLinear
from lipnet.layers.blocks.composition import Concat, Residual, each_of
from lipnet.layers.blocks.convex_potential import ConvexPotential, PlainConvexPotential
from lipnet.layers.blocks.graph import Graph
from lipnet.layers.blocks.mean import Mean, weighted_sum
from lipnet.layers.blocks.mirrored import Mirrored, half_of_each
from lipnet.layers.convolutions.padded import PaddedConv2d, same_conv2d, same_padding


class Evaluation:
    """Forward passes of a network that measure what enters each module, and the sums of absolute products there.

    Args:
        network: in evaluation mode; its weights are read now.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        parts = [part for part in network.modules() if type(part) in _LINEAR]
        self.sums = {part: _sums_of_products(part) for part in parts}
        blocks = [part for part in network.modules() if nearest_type(part, _POTENTIALS) is not None]
        self.potentials = {block: _halves(block) for block in blocks}

    def run(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs, and float64 ``(examples, PLACE · count)``, rounded up: three numbers for each of count places.

        The first is the norm of the inputs of a module that is no composition, of the result of an addition, of a term
        of a mean, or, at the end, of the outputs; places are in the order of evaluation. The others are
        ``_sums_of_products`` at linear layers, infinite elsewhere.
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
            for _, part in named_parts(module):
                inputs = self._through(part, inputs, places)
            return inputs
        if kind is Residual:
            shortcut, branch = each_of(inputs, [module.shortcut, module.branch], through)
            total = shortcut + branch
            self._note(total, None, places)
            return total
        if kind is Concat:
            return torch.cat(each_of(inputs, module.branches, through), dim=1)
        if kind is Mean:
            outputs = []
            for output in each_of(inputs, module.members, through):
                self._note(output, None, places)
                outputs.append(output)
            return weighted_sum(outputs, module.weights)
        if kind is Mirrored:
            first, second = (through(module.inner, images) for images in (inputs, inputs.flip(-1)))
            self._note(first, None, places)
            self._note(second, None, places)
            return half_of_each(first, second)
        if kind is Graph:
            return self._through_graph(module, inputs, places)
        if module in self.potentials:
            return self._through_potential(module, inputs, places)
        self._note(inputs, self.sums.get(module), places)
        return module(inputs)

    def _through_potential(self, block: Any, inputs: Tensor, places: list[Tensor]) -> Tensor:
        """As its two convolutions, each with what enters it, and the difference."""
        ascent, descent = self.potentials[block]
        self._note(inputs, ascent.sums, places)
        hidden = functional.relu(ascent.convolve(inputs))
        self._note(hidden, descent.sums, places)
        outputs = inputs - 2 * descent.convolve(hidden)
        self._note(outputs, None, places)
        return outputs

    def _through_graph(self, graph: Graph, inputs: Tensor, places: list[Tensor]) -> Tensor:
        return graph.evaluate(
            inputs,
            lambda number, module, given: self._through(module, given, places),
            lambda total: self._note(total, None, places),
        )

    def _note(self, inputs: Tensor, sums: "_Sums | None", places: list[Tensor]) -> None:
        norms = norm_of_each(inputs)
        unknown = torch.full_like(norms, math.inf)
        places.extend((norms, *((unknown, unknown) if sums is None else sums(inputs))))


PLACE = 3  # numbers for each place
_LINEAR = (nn.Linear, BlockedLinear, PaddedConv2d, BlockedConv2d)
_POTENTIALS = (ConvexPotential, PlainConvexPotential)
_Sums = Callable[[Tensor], tuple[Tensor, Tensor]]
_FEW, _MANY = 64, 4000  # terms of sums that lose little, and of such that have lost more than little on the way


def _sums_of_products(layer: Any) -> _Sums:
    """Of a layer's products, in the blocks that it adds up."""
    weight, terms = layer.weight.detach(), layer.weight[0].numel()
    if isinstance(layer, BlockedLinear | BlockedConv2d):
        return _sums(weight, layer.stages(torch.float32), functools.partial(_product, layer), layer.partial_sums)
    return _sums(weight, (terms, 0), functools.partial(_product, layer))


def _sums(
    weight: Tensor, stages: tuple[int, int], product: Callable[[Tensor, Tensor], Tensor],
    partial_sums: Callable[[Tensor, Tensor], Iterable[Tensor]] | None = None,
) -> _Sums:  # fmt: skip
    """What a layer's rounding is relative to, for each of its inputs: two norms, float64, rounded up.

    The first is that of ``A = |W| |x|``: whatever the order of sums, they err by at most ``γ A``. The second, no
    larger, is for float32. No sum of some of a block's products is larger than that of all products of one sign, which
    is half of A's part in the block and half of the block's own sum, in absolute value. And no sum of some blocks' sums
    is larger than ``B``, the sum of their absolute values. Numbers that float32 flushes to 0 are in neither.

    Args:
        stages: terms of a block, and blocks; no blocks where all terms are added up at once.
        product: of inputs and a weight, without bias.
        partial_sums: of inputs and a weight, the blocks' own.
    """
    terms = weight[0].numel()
    if weight.device.type == "cpu" and not coarse_products():
        weight = weight.float()  # a few digits suffice
    absolute = weight.abs()
    off = 4 * (terms + 8) * torch.finfo(weight.dtype).eps  # of A as it is computed here, and A's part that B may be off
    within, among = stages
    count, unit = within + among, torch.finfo(torch.float32).eps / 2
    errors = count**2 * unit / (1 - count * unit)  # of what the sums themselves have lost so far

    def sums(inputs: Tensor) -> tuple[Tensor, Tensor]:
        inputs = inputs.detach().to(weight.dtype)
        products = product(inputs.abs(), absolute)
        whole = norm_of_each(products) * (1 + off)
        if not _FEW <= count <= _MANY:
            return whole, whole
        blocks = products * off
        for part in (product(inputs, weight),) if partial_sums is None else partial_sums(inputs, weight):
            blocks += part.abs_()
        relative = (1 + errors + within / 2) * products + (within / 2 + among) * blocks
        return whole, torch.minimum(norm_of_each(relative) * (1 + off) / (count + 2), whole)

    return sums


class _Half(NamedTuple):
    """A convolution of a block, and what its rounding is relative to."""

    convolve: Callable[[Tensor], Tensor]
    sums: _Sums


def _halves(block: Any) -> tuple[_Half, _Half]:
    """``Aᵀ x + b`` and ``A h`` of a ``ConvexPotential``."""
    kernel, (before, after) = block.weight.detach(), same_padding(block.kernel_size)
    adjoint, mode = kernel.flip(2, 3).transpose(0, 1), block.padding_mode
    return _half(adjoint, block.bias.detach(), (after, before), mode), _half(kernel, None, (before, after), mode)


def _half(weight: Tensor, bias: Tensor | None, padding: tuple[int, int], mode: str) -> _Half:
    def convolved(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return same_conv2d(inputs, weight, bias, padding, mode, 1, 1, 1)

    return _Half(lambda inputs: convolved(inputs, weight, bias), _sums(weight, (weight[0].numel(), 0), convolved))


def _product(layer: Any, inputs: Tensor, weight: Tensor) -> Tensor:
    """A layer's, without its bias and as a whole, of another weight."""
    if isinstance(layer, nn.Linear):
        return functional.linear(inputs, weight)
    conv = layer.conv
    stride, dilation = conv.stride[0], conv.dilation[0]
    return same_conv2d(inputs, weight, None, layer.padding, layer.padding_mode, stride, dilation, conv.groups)


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
