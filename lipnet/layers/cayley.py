"""Cayley's map from free matrices onto orthonormal ones: Trockman & Kolter, ICLR 2021, arXiv 2104.07167."""

import torch
from torch import Tensor, nn

from lipnet.layers.polar import refined
from lipnet.layers.scale import binary_scale


def cayley(matrix: Tensor) -> Tensor:
    """Orthonormal columns, or rows where there are fewer, of ``(..., m, n)`` real or complex matrices.

    With ``W = [U; V]``, U square, and ``A = U - U* + V* V``, it is ``[(I + A)⁻¹ (I - A); -2 V (I + A)⁻¹]``. ``I + A``
    has an inverse, whatever W is: the Hermitian part of A is not negative. A square result never has the eigenvalue -1.
    """
    wide = matrix.shape[-2] < matrix.shape[-1]
    tall = matrix.mH if wide else matrix
    columns = tall.shape[-1]
    upper, lower = tall[..., :columns, :], tall[..., columns:, :]
    skew = upper - upper.mH + lower.mH @ lower
    identity = torch.eye(columns, dtype=matrix.dtype, device=matrix.device)
    inverse = torch.linalg.solve(identity + skew, identity.expand_as(skew))
    orthonormal = torch.cat((2 * inverse - identity, -2 * lower @ inverse), -2)  # (I - A) = 2 I - (I + A)
    orthonormal = refined(orthonormal)
    return orthonormal.mH if wide else orthonormal


def at_norm(raw: Tensor, norm: Tensor) -> Tensor:
    """The free tensor at this Frobenius norm; zero stays zero."""
    scaled = raw / binary_scale(raw, tuple(range(raw.dim())))
    return scaled * (norm / torch.linalg.vector_norm(scaled).clamp_min(torch.finfo(raw.dtype).tiny))


@torch.no_grad()
def start_at_own_norm(raw: Tensor, norm: Tensor) -> None:
    """Fills a free tensor as ``nn.Linear`` and ``nn.Conv2d`` do their weights, and the norm that it is taken at."""
    nn.init.kaiming_uniform_(raw, a=5**0.5)
    norm.copy_(torch.linalg.vector_norm(raw))
