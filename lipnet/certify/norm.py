"""Upper bounds on spectral norms that hold in floating point: float64, every error counted, rounded outward."""

import math

import torch
from torch import Tensor

EPS = torch.finfo(torch.float64).eps
_SMALLEST = 2.0**-1000  # subnormal numbers may be flushed to 0, and one divides by bounds


def up(value: float) -> float:
    """The next float64 up: outward rounding of one operation. Never 0; infinite for what is not a number."""
    return math.inf if math.isnan(value) else max(math.nextafter(value, math.inf), _SMALLEST)


def binary_scale(matrices: Tensor) -> float:
    """The power of 2 at the largest entry's size: after dividing by it, exactly, no square under- or overflows."""
    largest = float(matrices.abs().max()) if matrices.numel() else 0.0
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if 0 < largest < math.inf else 1.0


def small_gram(matrices: Tensor) -> Tensor:
    """``M Mᴴ`` or ``Mᴴ M`` of ``(..., m, n)``, the smaller one; its eigenvalues are the squared singular values."""
    small = matrices if matrices.shape[-2] <= matrices.shape[-1] else matrices.mH
    return small @ small.mH


def norm_bound(matrices: Tensor, error: float = 0.0) -> float:
    """An upper bound on the largest spectral norm of float64 or complex128 ``(..., m, n)``.

    Tight to about ``m n eps``, near orthonormal matrices to 1e-6 of their distance from them. Infinite where an entry
    is not finite.

    Args:
        error: a bound on the norm of each matrix's own error.
    """
    if not bool(torch.isfinite(matrices).all()):
        return math.inf
    scale = binary_scale(matrices)
    gram = small_gram(matrices / scale)
    # An inner product of n terms errs by at most n * eps * the product of norms (four times that, with the factor 8,
    # for complex numbers), and the norm of the matrix of these errors is at most the trace.
    terms = max(matrices.shape[-2:])
    trace = float(gram.diagonal(dim1=-2, dim2=-1).real.sum(-1).max())
    square = _largest_eigenvalue(gram) + 8 * (terms + 4) * EPS * trace
    return up(up(scale * up(math.sqrt(up(square)))) + error)


def _largest_eigenvalue(gram: Tensor) -> float:
    """An upper bound on the largest eigenvalue of Hermitian ``(..., n, n)``, tight to 1e-6 near the identity.

    Large matrices near the identity (wide orthogonal layers) are spared the eigenvalue decomposition: with
    ``E = G - I`` it is at most ``1 + |E|_2``, and ``|E|_2 <= |E^8|_F^(1/8)`` takes three products.
    """
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    deviation = gram - identity
    size = float(torch.linalg.matrix_norm(deviation).max())
    if gram.shape[-1] < 256 or not 0 < size < 1e-3:
        return _checked(gram, float(torch.linalg.eigvalsh(gram).max()), identity)
    power = deviation / size
    for _ in range(3):
        power = power @ power
    # Rounding adds at most a few n * eps to the unit-norm powers, before the root.
    slack = 64 * gram.shape[-1] * EPS
    return 1 + size * (float(torch.linalg.matrix_norm(power).max()) + slack) ** 0.125


def _checked(gram: Tensor, found: float, identity: Tensor) -> float:
    """An upper bound near ``found``, which need not be right: the eigenvalue solver is not trusted.

    Where the Cholesky decomposition of a float64 matrix A of n rows runs to its end, no eigenvalue of A is below
    ``-n eps trace(A)`` (Rump 2006, Verification of positive definiteness; with a factor 4 for complex numbers).
    """
    count = gram.shape[-1]
    trial = found + 8 * (count + 4) * EPS * abs(found)
    for _ in range(8):
        if not bool(torch.linalg.cholesky_ex(trial * identity - gram).info.any()):
            return trial + 4 * (count + 2) * EPS * count * trial
        trial *= 1 + 1e-6
    return float(gram.diagonal(dim1=-2, dim2=-1).real.sum(-1).max())  # at most the trace, always


def nonnegative_norm_bound(matrices: Tensor) -> float:
    """An upper bound on the largest spectral norm of ``(..., m, n)`` without negative entries, in a few products.

    For any positive vector v, ``|M|² <= max_i (Mᵀ M v)_i / v_i`` (Collatz 1942); power iteration brings v near the
    leading eigenvector, where the bound is sharp.
    """
    largest = float(matrices.max()) if matrices.numel() else 0.0
    if not math.isfinite(largest):
        return math.inf
    if largest == 0:
        return 0.0
    matrices = matrices / largest
    vector = torch.ones_like(matrices[..., :1, :]).mT
    for _ in range(20):
        image = matrices.mT @ (matrices @ vector)
        square = (image / vector).amax()
        vector = (image / image.amax((-2, -1), keepdim=True).clamp_min(1e-100)).clamp_min(1e-6)
    return largest * math.sqrt(float(square)) * (1 + 4 * sum(matrices.shape[-2:]) * EPS)
