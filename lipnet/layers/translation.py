"""A learned map that is added to every example."""

import torch
from torch import Tensor, nn


class Translation(nn.Module):
    """``x + offset``: an isometry.

    Args:
        shape: of the offset, which is repeated along axes of length 1: ``(channels, 1, 1)``, ``(1, height, width)``.

    Learned: ``offset``, which starts at 0.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.offset = nn.Parameter(torch.zeros(self.shape))

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, ...)``, of the same shape; raises ``RuntimeError`` where the offset would make it a larger one."""
        return inputs + self.offset.expand(inputs.shape[1:])

    def extra_repr(self) -> str:
        return f"{self.shape}"
