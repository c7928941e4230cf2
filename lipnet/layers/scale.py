"""Powers of two of the size of a matrix: divided by one, its products neither overflow nor vanish, and lose nothing."""

import torch
from torch import Tensor


@torch.no_grad()
def binary_scale(matrix: Tensor, dim: int | tuple[int, ...] = (-2, -1)) -> Tensor:
    """The power of 2 at or below the largest ``|entry|`` over the dimensions ``dim``, which are kept as 1.

    The smallest normal number where all entries are below it; NaN where one is not finite.
    """
    largest = matrix.abs().amax(dim, keepdim=True).clamp_min(torch.finfo(matrix.dtype).tiny)
    return largest / (2 * torch.frexp(largest).mantissa)


def binary_halves(scale: Tensor) -> tuple[Tensor, Tensor]:
    """Two powers of 2, as near each other as can be, whose product is the given one."""
    first = torch.ldexp(torch.ones_like(scale), (torch.frexp(scale).exponent - 1).div(2, rounding_mode="floor"))
    return first, scale / first
