"""Gradients that are sums of outer products over positions, of which a layer's weight has one for each example.

``inputs (b, groups, in, positions)`` and ``gradients (b, groups, out, positions)`` of the outputs make the gradient
``gradients @ inputs.mT``, ``(b, groups, out, in)``. Its norm follows from two Gram matrices of the positions as well,
without the gradient itself (a *ghost* norm: Li et al. 2021, arXiv 2110.05679; Bu et al. 2022, arXiv 2205.10683).
"""

import torch
from torch import Tensor

_AT_ONCE = 2**22  # entries of Gram matrices that are held at a time


def outer_products(inputs: Tensor, gradients: Tensor) -> Tensor:
    """The gradients, ``(b, groups, out, in)``."""
    if inputs.shape[-1] == 1:  # a product of matrices of one column takes longer
        return gradients * inputs.mT
    return gradients @ inputs.mT


def squares_of(gradients: Tensor) -> Tensor:
    """The squared norm of each example's gradient, ``(b, ...) -> (b,)``."""
    squares = gradients.square()
    return squares.sum(tuple(range(1, squares.dim()))) if squares.dim() > 1 else squares


def ghost_squares(inputs: Tensor, gradients: Tensor) -> Tensor:
    """The squared norms of the gradients, ``(b,)``, from rows of the two Gram matrices at a time."""
    positions = inputs.shape[-1]
    if positions == 1:
        return (inputs.square().sum(2) * gradients.square().sum(2)).sum((1, 2))
    total = inputs.new_zeros(len(inputs))
    rows = max(1, _AT_ONCE // max(1, inputs[..., 0, :].numel()))
    for start in range(0, positions, rows):
        part = slice(start, start + rows)
        grams = inputs[..., part].mT @ inputs, gradients[..., part].mT @ gradients
        total += torch.mul(*grams).sum((1, 2, 3))
    return total


def ghost_operations(groups: int, inside: int, outside: int, positions: int) -> int:
    """Multiply-adds of one example's ghost norm."""
    return groups * positions * (inside + outside) * (positions if positions > 1 else 1)


def outer_operations(groups: int, inside: int, outside: int, positions: int) -> int:
    """Multiply-adds of one example's gradient, and its norm."""
    return groups * inside * outside * (positions + 1)
