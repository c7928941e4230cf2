"""Sums and concatenations of modules that see the same input."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from lipnet.layers.tracing import runs_eagerly, shape_is_known


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
        kept, added = each_of(inputs, [self.shortcut, self.branch])
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
        return torch.cat(each_of(inputs, self.branches), dim=1)


def _call(module: nn.Module, inputs: Tensor) -> Tensor:
    return module(inputs)


def each_of(
    inputs: Tensor, modules: Iterable[nn.Module], call: Callable[[nn.Module, Tensor], Tensor] = _call
) -> list[Tensor]:
    """The outputs of several modules for one input; those that work in place get a copy of their own.

    Raises:
        RuntimeError: a module changed its input without saying so by an attribute ``inplace``.
    """
    outputs = []
    for module in modules:
        before = _version(inputs)
        in_place = any(getattr(part, "inplace", False) for part in module.modules())
        outputs.append(call(module, inputs.clone() if in_place else inputs))
        if _version(inputs) != before:
            raise RuntimeError(
                f"{type(module).__name__} changes its input, which another module uses too; let it work on a copy, or "
                "give it an attribute inplace = True"
            )
    return outputs


def _version(tensor: Tensor) -> int:
    """How often the tensor's memory was changed; inference tensors and tracers count nothing."""
    return tensor._version if runs_eagerly(tensor) and not tensor.is_inference() else 0
