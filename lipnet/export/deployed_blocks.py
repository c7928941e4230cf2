"""The blocks of layers in the code of a network that has any."""

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """``shortcut(x) + branch(x)``."""

    def __init__(self, shortcut: nn.Module, branch: nn.Module) -> None:
        super().__init__()
        self.shortcut, self.branch = shortcut, branch

    def forward(self, inputs: Tensor) -> Tensor:
        return self.shortcut(inputs) + self.branch(inputs)


class Concat(nn.Module):
    """The branches' outputs one after the other along axis 1."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([branch(inputs) for branch in self.branches], dim=1)
