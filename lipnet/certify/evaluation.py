"""A forward pass that takes the norms of what passes between its modules."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.bound import find_type
from lipnet.layers import Concat, Residual

COMPOSITIONS = (nn.Sequential, Residual, Concat)  # of modules that are evaluated, and bounded, one by one


def composition(module: nn.Module) -> type[nn.Module] | None:
    """Which of ``COMPOSITIONS`` a module is; ``None`` where it stands for itself."""
    return find_type(module, COMPOSITIONS)


def children(module: nn.Module) -> Iterator[nn.Module]:
    """Of a sequence, in the order of evaluation; ``children()`` leaves out a module's second use."""
    for child in module._modules.values():
        assert child is not None
        yield child


def evaluate(network: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The network's outputs, and float64 norms ``(examples, count)``, rounded up.

    One norm for the inputs of each module that is no composition, one for each sum of a ``Residual``, in the order of
    evaluation, and the outputs' at the end.
    """
    norms: list[Tensor] = []
    outputs = _pass(network, inputs, norms)
    norms.append(norm_of_each(outputs))
    return outputs, torch.stack(norms, dim=1)


def _pass(module: Any, inputs: Tensor, norms: list[Tensor]) -> Tensor:
    kind = composition(module)
    if kind is nn.Sequential:
        for child in children(module):
            inputs = _pass(child, inputs, norms)
        return inputs
    if kind is Residual:
        total = _pass(module.shortcut, inputs, norms) + _pass(module.branch, inputs, norms)
        norms.append(norm_of_each(total))
        return total
    if kind is Concat:
        return torch.cat([_pass(branch, inputs, norms) for branch in module.branches], dim=1)
    norms.append(norm_of_each(inputs))
    return module(inputs)


def norm_of_each(inputs: Tensor) -> Tensor:
    """L2 norms of ``(n, ...)`` inputs, float64 ``(n,)``, rounded up."""
    rows = inputs.flatten(1) if inputs.dim() > 1 else inputs[:, None]
    norms = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    # A sum of squares errs by n eps of itself at most; squares below 2^-1022 may be lost.
    return norms * (1 + (rows.shape[1] + 4) * torch.finfo(torch.float64).eps) + rows.shape[1] * 2.0**-500
