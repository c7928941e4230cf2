"""N-activations: Prach & Lampert 2023 (arXiv 2311.06103)."""

import torch
from torch import Tensor, nn


class NActivation(nn.Module):
    """``x - 2 θ₁`` below θ₁, ``-x`` up to θ₂ and ``x - 2 θ₂`` above, with ``θ₁ <= θ₂`` of each channel.

    Its slopes are 1 and -1, so it is 1-Lipschitz and keeps the norm of gradients. Networks of such activations can be
    any piecewise linear 1-Lipschitz function of one variable, which those of two pieces cannot.

    Args:
        channels: on axis 1.

    Learned: ``bends (2, channels)``, the smaller one of each channel being θ₁. Half of the channels start at -1 and 0,
    where it is ``|x|`` for all x above -1, and the others at -1/8 and 1/8, near the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"NActivation needs channels >= 1, got {channels}")
        self.channels = channels
        halves = [channels // 2, channels - channels // 2]
        lower = [-1.0] * halves[0] + [-0.125] * halves[1]
        upper = [0.0] * halves[0] + [0.125] * halves[1]
        self.bends = nn.Parameter(torch.tensor([lower, upper]))

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)``, of the same shape."""
        values = inputs.unflatten(1, (self.channels, 1)).squeeze(2)  # refuses any other number of channels
        first, second = self.bends.view(2, self.channels, *[1] * (inputs.dim() - 2)).unbind(0)
        lower, upper = torch.minimum(first, second), torch.maximum(first, second)
        return values - 2 * torch.minimum(torch.maximum(values, lower), upper)

    def extra_repr(self) -> str:
        return f"{self.channels}"
