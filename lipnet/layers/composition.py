"""Sums and concatenations of modules that see the same input."""

import torch
from torch import Tensor, nn

from lipnet.layers.tracing import shape_is_known


class Residual(nn.Module):
    """``shortcut(x) + branch(x)``, with Lipschitz constant at most the sum of the two.

    Args:
        branch, shortcut: modules with outputs of one shape; ``shortcut`` is the identity unless given.
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, inputs: Tensor) -> Tensor:
        """Raises ``ValueError`` where the shapes differ: broadcasting would count entries more than once."""
        kept, added = self.shortcut(inputs), self.branch(inputs)
        if shape_is_known(kept) and kept.shape != added.shape:
            raise ValueError(f"Residual needs outputs of one shape, got {tuple(kept.shape)} and {tuple(added.shape)}")
        return kept + added


class Concat(nn.Module):
    """The branches' outputs one after the other along axis 1: at most the root of the sum of squared constants."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        if not branches:
            raise ValueError("Concat needs at least one branch")
        self.branches = nn.ModuleList(branches)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)`` each, equal but in the channels."""
        return torch.cat([branch(inputs) for branch in self.branches], dim=1)
