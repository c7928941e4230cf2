"""The parts of a power iteration that goes on from the last step's vector."""

import math

import torch
from torch import Tensor

from lipnet.layers.tracing import is_transformed


@torch.no_grad()
def start_vector(last: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy of the last step's vector; a random one where that is zero or not finite.

    A weight that is zero, or NaN, leaves such a vector behind, from which no iteration would ever recover.
    """
    if not is_transformed(last) and not 0 < float(torch.linalg.vector_norm(last)) < math.inf:
        last.normal_()
    return last.to(dtype, copy=True)


def unit(vector: Tensor) -> Tensor:
    """The vector at length 1; zero stays zero."""
    return vector / torch.linalg.vector_norm(vector).clamp_min(torch.finfo(vector.dtype).tiny)


def at_most_one(matrix: Tensor, norm: Tensor, scale: Tensor) -> Tensor:
    """``W / max(1, |W|)``, where ``W / scale`` has this norm: nothing overflows on the way."""
    return matrix * (1 / norm.clamp_min(1 / scale) / scale)
