"""Upper bounds on spectral norms by squaring Gram matrices (Delattre et al. 2023, arXiv 2305.16173)."""

import torch
from torch import Tensor


def gram_bound(matrices: Tensor, steps: int) -> Tensor:
    """A differentiable upper bound on the largest spectral norm of ``(..., m, n)``, of real or complex entries.

    With G the smaller one of ``M Mᴴ`` and ``Mᴴ M``, ``|M|² = |G| <= |G^p|_F^(1/p)`` for ``p = 2^steps``, which is at
    most ``min(m, n)^(1/2p)`` times too large. Each power is divided by its norm, so that none overflows. Unlike a power
    iteration it is never below the norm, but for the rounding of its products.
    """
    small = matrices if matrices.shape[-2] <= matrices.shape[-1] else matrices.mH
    gram, bound = small @ small.mH, torch.ones((), dtype=matrices.real.dtype, device=matrices.device)
    for step in range(steps + 1):
        size = _norms(gram).clamp_min(torch.finfo(bound.dtype).tiny)
        bound = bound * size**0.5**step
        if step < steps:
            gram = _times(gram, size.reciprocal())
            gram = gram @ gram
    return bound.amax().sqrt()


def _norms(matrices: Tensor) -> Tensor:
    """Frobenius norms; of complex entries by their parts, which is several times as fast."""
    parts = torch.view_as_real(matrices).flatten(-2) if matrices.is_complex() else matrices
    return torch.linalg.matrix_norm(parts)


def _times(matrices: Tensor, factors: Tensor) -> Tensor:
    """Each matrix times its real factor."""
    if matrices.is_complex():
        return torch.view_as_complex(torch.view_as_real(matrices) * factors[..., None, None, None])
    return matrices * factors[..., None, None]
