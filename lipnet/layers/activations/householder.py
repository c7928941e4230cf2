"""Householder activations of order 1 (HH1): Singla, Singla & Feizi 2022 (arXiv 2108.04062), section 5."""

import math

import torch
from torch import Tensor, nn


class Householder(nn.Module):
    """Pairs of channels, each reflected on one side of a line through 0 whose angle is learned.

    With ``v = (sin(θ/2), -cos(θ/2))`` a pair z is kept where ``<v, z> >= 0``, else reflected, to ``z - 2 <v, z> v``:
    continuous, and orthogonal on both sides, so 1-Lipschitz, and the norm of gradients is kept.

    Args:
        channels: an even number; channel i is paired with ``i + channels / 2``.

    Learned: ``angles (channels / 2,)``, θ of each pair, which start at π/2: MaxMin, the line where both are equal.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 2 or channels % 2:
            raise ValueError(f"Householder needs an even number of channels, got {channels}")
        self.channels = channels
        self.angles = nn.Parameter(torch.full((channels // 2,), math.pi / 2))

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)``, of the same shape."""
        first, second = inputs.unflatten(1, (2, self.channels // 2)).unbind(1)
        angles = (self.angles / 2).view(-1, *[1] * (inputs.dim() - 2))
        sine, cosine = angles.sin(), angles.cos()
        twice = 2 * (sine * first - cosine * second).clamp(max=0)
        return torch.cat((first - twice * sine, second + twice * cosine), dim=1)

    def extra_repr(self) -> str:
        return f"{self.channels}"
