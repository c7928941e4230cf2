"""An activation that keeps every gradient near 0 and a part of it far out."""

import torch
from torch import Tensor, nn


class LeakyClamp(nn.Module):
    """``x`` up to ``limit`` in absolute value, and beyond it rises by ``slope`` only: 1-Lipschitz for slopes up to 1.

    Args:
        limit: where it bends, on both sides of 0.
        slope: beyond, from 0 to 1.
    """

    def __init__(self, limit: float = 1.0, slope: float = 0.5) -> None:
        super().__init__()
        self.limit, self.slope = limit, slope

    def forward(self, inputs: Tensor) -> Tensor:
        inside = torch.clamp(inputs, -self.limit, self.limit)
        return inside + self.slope * (inputs - inside)
