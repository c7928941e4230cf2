"""Layers whose long sums are taken in blocks, so that they round less.

In floating point a sum of n terms may err by n units in the last place of its terms; one of k sums of b terms by b + k
of them, in whatever order each is taken (Higham 2002, section 3.1). ``to_plain`` makes such layers of constrained ones.
In float64, where either is far below anything that matters, they take the sums as a whole.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.convolutions.padded import PaddedConv2d, pad
from lipnet.layers.tracing import runs_eagerly, shape_is_known


class BlockedLinear(nn.Linear):
    """``nn.Linear`` whose products are sums of partial ones, each over at most ``block`` inputs.

    The same function, weights and names. Memory for ``in_features / block`` outputs is taken on the way.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, block: int = 64,
        device: torch.device | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.block = _checked(block)

    def stages(self, dtype: torch.dtype) -> tuple[int, int]:
        """How many roundings a product may meet: in its block's sum, and in the sum of the blocks."""
        return _stages(self.weight.shape[1], self.block, dtype)

    def partial_sums(self, inputs: Tensor, weight: Tensor) -> Iterator[Tensor]:
        """The sum of each block for ``(..., in_features)``, with ``weight`` in place of the layer's own."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        for part in torch.bmm(self._blocks(rows), self._blocks(weight).mT):
            yield part.view(*inputs.shape[:-1], len(weight))

    def forward(self, inputs: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        if inputs.dtype is torch.float64:
            return super().forward(inputs)
        if shape_is_known(inputs) and inputs.dim() != 2:
            return self(inputs.reshape(-1, self.in_features)).reshape(*inputs.shape[:-1], self.out_features)
        total = torch.bmm(self._blocks(inputs), self._blocks(self.weight).mT).sum(0)
        return total if self.bias is None else total + self.bias

    def _blocks(self, rows: Tensor) -> Tensor:
        """``(n, in_features) -> (blocks, n, block)``, filled up with zeros."""
        missing = -self.in_features % self.block
        rows = functional.pad(rows, (0, missing)) if missing else rows
        return rows.unflatten(1, (-1, self.block)).transpose(0, 1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, block={self.block}"


class BlockedConv2d(PaddedConv2d):
    """``PaddedConv2d`` that adds convolutions of at most ``block`` input channels; without groups."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1,
        bias: bool = True, padding_mode: str = "circular", block: int = 8,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, 1, bias, padding_mode)
        self.block = _checked(block)

    def stages(self, dtype: torch.dtype) -> tuple[int, int]:
        """As ``BlockedLinear``'s."""
        channels, taps = self.weight.shape[1], math.prod(self.weight.shape[2:])
        return _stages(channels * taps, self.block * taps, dtype)

    def partial_sums(self, inputs: Tensor, weight: Tensor) -> Iterator[Tensor]:
        """The sum of each block for ``(n, in_channels, h, w)``, with ``weight`` in place of the layer's own."""
        conv, padded = self.conv, pad(inputs, self.padding, self.padding_mode)
        for first in range(0, conv.in_channels, self.block):
            channels = slice(first, first + self.block)
            yield functional.conv2d(padded[:, channels], weight[:, channels], None, conv.stride, 0, conv.dilation)

    def forward(self, inputs: Tensor) -> Tensor:
        """As ``PaddedConv2d``'s."""
        if inputs.dtype is torch.float64:
            return super().forward(inputs)
        if shape_is_known(inputs) and inputs.dim() == 3:
            return self(inputs[None])[0]
        if runs_eagerly(inputs):
            self._check(inputs)
        conv, padded = self.conv, pad(inputs, self.padding, self.padding_mode)
        bias, total = conv.bias, None
        for first in range(0, conv.in_channels, self.block):
            channels = slice(first, first + self.block)
            part = functional.conv2d(padded[:, channels], conv.weight[:, channels], bias, conv.stride, 0, conv.dilation)
            total, bias = part if total is None else total + part, None
        assert total is not None
        return total

    def extra_repr(self) -> str:
        return f"block={self.block}"


def _checked(block: int) -> int:
    if block < 1:
        raise ValueError(f"a block holds at least one input, got {block}")
    return block


def _stages(terms: int, block: int, dtype: torch.dtype) -> tuple[int, int]:
    return (terms, 0) if dtype is torch.float64 else (min(block, terms), math.ceil(terms / block))
