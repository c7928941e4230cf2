"""The polar factor of real and complex matrices, by Newton's and Schulz's iteration."""

import torch
from torch import Tensor

from lipnet.layers.tracing import is_transformed


def polar(matrix: Tensor, iterations: int) -> Tensor:
    """``W (W* W)^(-1/2)`` of ``(..., m, n)``: the nearest matrix of orthonormal columns, or rows where there are fewer.

    ``W <- W (3 I - W* W) / 2``, which brings each singular value in (0, sqrt 3) nearer to 1, from a matrix divided by a
    bound on its norm, and never above it: a result that has not converged has singular values below 1. It ends where
    the rounding of a product is all that is left, or after ``iterations``.
    """
    wide = matrix.shape[-2] < matrix.shape[-1]
    tall = matrix.mH if wide else matrix
    factor = tall / _norm_bound(tall)
    identity = torch.eye(tall.shape[-1], dtype=matrix.dtype, device=matrix.device)
    enough = 4 * tall.shape[-1] * torch.finfo(matrix.dtype).eps
    for _ in range(iterations):
        residual = factor.mH @ factor - identity
        factor = factor - factor @ residual / 2  # once more where nothing is left: it makes the derivative the factor's
        if not is_transformed(matrix) and bool(torch.linalg.matrix_norm(residual.detach()).amax() <= enough):
            break
    return factor.mH if wide else factor


def _norm_bound(matrix: Tensor) -> Tensor:
    """``sqrt(|W|_1 |W|_inf)``, at least the spectral norm; for its gradient a constant, since the factor has none."""
    sizes = matrix.detach().abs()
    bound = (sizes.sum(-1).amax(-1) * sizes.sum(-2).amax(-1)).sqrt()
    return bound.clamp_min(torch.finfo(matrix.dtype).tiny)[..., None, None]


def refined(tall: Tensor) -> Tensor:
    """Columns that are orthonormal but for rounding, made so: one step of the iteration."""
    identity = torch.eye(tall.shape[-1], dtype=tall.dtype, device=tall.device)
    return tall - tall @ (tall.mH @ tall - identity) / 2
