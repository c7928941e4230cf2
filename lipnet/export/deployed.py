"""A network that lipnet exported; it needs torch alone.

>>> from network import load
>>> logits = load()(images)  # float32 in [0, 1], (batch, channels, height, width)
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional


class Normalize(nn.Module):
    """``(x - mean) / std`` per channel; both are in the weights file."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs - self.mean) / self.std


class BlockedLinear(nn.Linear):
    """``nn.Linear`` that adds the products of ``block`` inputs each, which rounds less."""

    def __init__(self, in_features: int, out_features: int, bias: bool, block: int) -> None:
        super().__init__(in_features, out_features, bias)
        self.block = block

    def forward(self, inputs: Tensor) -> Tensor:
        total = torch.bmm(self._blocks(inputs), self._blocks(self.weight).mT).sum(0)
        return total if self.bias is None else total + self.bias

    def _blocks(self, rows: Tensor) -> Tensor:
        missing = -self.in_features % self.block
        rows = functional.pad(rows, (0, missing)) if missing else rows
        return rows.unflatten(1, (-1, self.block)).transpose(0, 1)


class BlockedConv2d(nn.Conv2d):
    """``nn.Conv2d`` that adds convolutions of ``block`` input channels each, which rounds less."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, dilation: int, bias: bool, block: int
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, 1, bias)
        self.block = block

    def forward(self, inputs: Tensor) -> Tensor:
        parts = zip(inputs.split(self.block, 1), self.weight.split(self.block, 1), strict=True)
        partial = [functional.conv2d(part, weight, None, self.stride, 0, self.dilation) for part, weight in parts]
        total = sum(partial[1:], start=partial[0])
        return total if self.bias is None else total + self.bias[:, None, None]


def load() -> nn.Sequential:
    """The network with the weights beside this file, in evaluation mode."""
    network, weights = build(), Path(__file__).with_name("weights.pt")
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


def build() -> nn.Sequential:
    """The network with fresh weights."""
    return nn.Sequential()
