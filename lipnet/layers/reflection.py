"""Orthogonal matrices that reflect a subspace, block reflectors: Lai et al., ICML 2025, arXiv 2505.15174."""

import torch
from torch import Tensor

from lipnet.layers.polar import refined
from lipnet.layers.scale import binary_scale


def reflection(columns: Tensor) -> Tensor:
    """``I - 2 V (V* V)⁻¹ V*`` of ``(..., m, n)`` real or complex V, ``m >= n``: it turns the sign of what V spans.

    From an orthonormal basis of that, so that no ridge and no inverse stands between it and orthogonality.
    """
    basis = refined(torch.linalg.qr(columns).Q)
    return torch.eye(columns.shape[-2], dtype=columns.dtype, device=columns.device) - 2 * basis @ basis.mH


def reflecting(raw: Tensor) -> Tensor:
    """The free tensor, of any size, at one at which nothing under- or overflows."""
    return raw / binary_scale(raw, tuple(range(raw.dim())))


def rank(size: int, share: float) -> int:
    """How many columns a free matrix of so many rows has: at least 1, and fewer than rows where that can be.

    Raises:
        ValueError: the share is not above 0 and below 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"BRO needs a share of reflected directions > 0 and < 1, got {share}")
    return min(max(1, int(share * size)), max(1, size - 1))


@torch.no_grad()
def start_as_signs(columns: Tensor) -> None:
    """Fills ``(m, n)`` so that its reflection is nearly diagonal: -1 in the first n places, 1 in the others."""
    noise = torch.randn(columns.shape) / (9 * len(columns))
    columns.copy_(torch.eye(*columns.shape) + noise)
