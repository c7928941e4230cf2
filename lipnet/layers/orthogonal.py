"""Maps from free matrices onto matrices with orthonormal rows or columns.

Every map takes ``(..., m, n)``, batched over the leading dimensions, and returns the same shape: orthonormal columns
if ``m >= n``, orthonormal rows otherwise. ``cholesky`` is the default, ``bjorck`` the published reference.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Orthogonalizer = Callable[[Tensor], Tensor]


class OrthogonalizationError(RuntimeError):
    """A matrix has no well-defined orthonormalisation: it is rank-deficient, or holds NaN or infinity."""


def bjorck(matrix: Tensor, iterations: int = 20, power_iterations: int = 10) -> Tensor:
    """Order-1 Björck iteration ``W <- 1.5 W - 0.5 W WᵀW`` (Björck & Bowie 1971; Anil et al. 2019, eq. 4).

    The matrix is first divided by an estimate of its spectral norm. Power iteration gives a *lower* estimate (a few
    per cent low in practice). That is harmless: every singular value below sqrt(3) is contracted towards 1, and
    a result that has not converged has singular values below 1, never above. The start vector is fixed, so that the
    map is deterministic.
    """
    tall = matrix if matrix.shape[-2] >= matrix.shape[-1] else matrix.mT
    scale = _spectral_norm_estimate(tall.detach(), power_iterations)
    if not bool(torch.isfinite(scale).all()) or bool((scale == 0).any()):
        raise OrthogonalizationError(_cannot("is zero or holds NaN or infinity", matrix))
    weight = tall / scale
    for _ in range(iterations):
        weight = 1.5 * weight - 0.5 * weight @ (weight.mT @ weight)
    return weight if tall is matrix else weight.mT


def _spectral_norm_estimate(matrix: Tensor, iterations: int) -> Tensor:
    """A lower estimate of the spectral norm, ``(..., 1, 1)``, by power iteration from a fixed start."""
    start = torch.randn(matrix.shape[-1], 1, generator=torch.Generator().manual_seed(0)).to(matrix)
    vector = start.expand(*matrix.shape[:-2], -1, -1)
    for _ in range(iterations):
        vector = _unit(matrix.mT @ _unit(matrix @ vector))
    return torch.linalg.vector_norm(matrix @ vector, dim=(-2, -1), keepdim=True)


def _unit(vector: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(vector, dim=-2, keepdim=True)
    return vector / length.clamp_min(torch.finfo(vector.dtype).tiny)


def cholesky(matrix: Tensor) -> Tensor:
    """The orthonormal factor of the QR decomposition with a positive diagonal, by Cholesky on the small Gram matrix.

    With ``A`` tall and ``AᵀA = LLᵀ``, returns ``A L⁻ᵀ``: one product, one small factorisation and one more product,
    where Björck needs twenty of each. A Gram matrix squares the condition number, and with it the distance of the
    result from orthogonality; where the condition asks for it, the pass is repeated on its own result (CholeskyQR2,
    Yamamoto et al. 2015), and where Cholesky fails, Householder QR in float64 takes over. All compute the same map.

    Raises:
        OrthogonalizationError: a matrix is rank-deficient to working precision, or holds NaN or infinity.
    """
    if matrix.shape[-2] < matrix.shape[-1]:
        return _CholeskyMap.apply(matrix.mT).mT
    return _CholeskyMap.apply(matrix)


class _CholeskyMap(torch.autograd.Function):
    """``A -> Q`` of ``A = Q R``, with the backward pass of a thin QR decomposition (Walter & Lehmann 2010)."""

    @staticmethod
    def forward(ctx: Any, tall: Tensor) -> Tensor:
        orthonormal, inverse = _factorise(tall)
        ctx.factors = orthonormal.detach(), inverse  # attributes: a kept weight runs backward more than once
        return orthonormal

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        orthonormal, inverse = ctx.factors
        return (gradient + orthonormal @ qr_inner_gradient(gradient.mT @ orthonormal)) @ inverse


def qr_inner_gradient(product: Tensor) -> Tensor:
    """S of the QR gradient ``(G + Q S) R⁻ᵀ``: the lower triangle of ``Gᵀ Q``, mirrored and negated."""
    half = product.tril()
    half.diagonal(dim1=-2, dim2=-1).mul_(0.5)
    return (half + half.mT).neg_()


_WELL_CONDITIONED = 16.0  # squared condition number up to which one pass is orthogonal to a few ulps
_PASSES = 3


def _factorise(tall: Tensor) -> tuple[Tensor, Tensor]:
    """``Q`` and ``L⁻¹`` of ``A = Q Lᵀ``: Cholesky passes until one starts from a well-conditioned matrix."""
    orthonormal, inverse = tall, None
    for _ in range(_PASSES):
        step, condition = inverse_cholesky_factor(orthonormal)
        if not condition < 0.01 / torch.finfo(tall.dtype).eps:
            break
        orthonormal = orthonormal @ step.mT
        inverse = step if inverse is None else step @ inverse
        if condition <= _WELL_CONDITIONED:
            return orthonormal, inverse
    return _householder(tall)


def inverse_cholesky_factor(tall: Tensor) -> tuple[Tensor, float]:
    """``L⁻¹`` with ``AᵀA = LLᵀ``, and A's squared condition number (the worst of the batch; infinite if L fails)."""
    gram = _gram(tall)
    factor, info = torch.linalg.cholesky_ex(gram)
    inverse = _inverse_lower(factor)
    # |M|_2² <= |M|_1 |M|_inf: enough for small matrices; too coarse for large ones, which earn a few power steps.
    entries = inverse.abs()
    size = gram.abs().sum(-1).amax()
    condition = size * entries.sum(-1).amax() * entries.sum(-2).amax()
    failed, scale, worst = torch.stack((info.amax().to(size.dtype), size, condition)).tolist()
    if failed or not math.isfinite(worst) or not 1e-20 < scale < 1e20:  # squares out of float32's range lose digits
        return inverse, math.inf
    if worst > _WELL_CONDITIONED:
        estimate = _spectral_norm_estimate(gram, 3) * _spectral_norm_estimate(inverse, 3) ** 2
        worst = float(estimate.nan_to_num(math.inf, math.inf).max())
    return inverse, worst


_WHOLE = 128  # above this size, symmetric and triangular products are done in halves: fewer of them, and still fast


def _gram(tall: Tensor) -> Tensor:
    """``AᵀA``, without computing what symmetry repeats."""
    if tall.shape[-1] <= _WHOLE:
        return tall.mT @ tall
    first, second = tall.tensor_split(2, -1)
    cross = second.mT @ first
    return _blocks(_gram(first), cross.mT, cross, _gram(second))


def _inverse_lower(factor: Tensor) -> Tensor:
    """``L⁻¹``, without computing the zeros."""
    if factor.shape[-1] <= _WHOLE:
        identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device).expand_as(factor)
        return torch.linalg.solve_triangular(factor, identity, upper=False)
    first, zero, cross, second = _quarters(factor)
    first, second = _inverse_lower(first), _inverse_lower(second)
    return _blocks(first, torch.zeros_like(zero), -second @ (cross @ first), second)


def congruence(symmetric: Tensor, lower: Tensor) -> Tensor:
    """``LᵀSL`` for symmetric S and lower triangular L: in halves, half of the products or fewer."""
    if lower.shape[-1] <= _WHOLE:
        return lower.mT @ symmetric @ lower
    (s1, _, s21, s2), (l1, _, l21, l2) = _quarters(symmetric), _quarters(lower)
    past, own = s21 @ l1, s2 @ l21
    half = (past + 0.5 * own).mT @ l21
    cross = l2.mT @ (past + own)
    return _blocks(congruence(s1, l1) + half + half.mT, cross.mT, cross, congruence(s2, l2))


def _quarters(matrix: Tensor) -> tuple[Tensor, ...]:
    return tuple(part for rows in matrix.tensor_split(2, -2) for part in rows.tensor_split(2, -1))


def _blocks(upper_left: Tensor, upper_right: Tensor, lower_left: Tensor, lower_right: Tensor) -> Tensor:
    return torch.cat((torch.cat((upper_left, upper_right), -1), torch.cat((lower_left, lower_right), -1)), -2)


def _householder(tall: Tensor) -> tuple[Tensor, Tensor]:
    if not bool(torch.isfinite(tall).all()):
        raise OrthogonalizationError(_cannot("holds NaN or infinity", tall))
    orthonormal, triangular = torch.linalg.qr(tall.double())
    diagonal = triangular.diagonal(dim1=-2, dim2=-1)
    smallest, largest = diagonal.abs().amin(-1), diagonal.abs().amax(-1)
    if bool((smallest <= tall.shape[-2] * torch.finfo(torch.float64).eps * largest).any()):
        raise OrthogonalizationError(_cannot("is rank-deficient", tall))
    sign = diagonal.sign().unsqueeze(-2)
    identity = torch.eye(tall.shape[-1], dtype=torch.float64, device=tall.device).expand_as(triangular)
    inverse = torch.linalg.solve_triangular(triangular * sign.mT, identity, upper=True).mT
    return (orthonormal * sign).to(tall.dtype), inverse.to(tall.dtype)


def _cannot(reason: str, matrix: Tensor) -> str:
    return (
        f"cannot orthonormalise a {tuple(matrix.shape)} matrix that {reason}; "
        "a smaller optimizer.lr, or another seed, avoids it"
    )


def apply_map(orthogonalize: Orthogonalizer, matrix: Tensor) -> Tensor:
    """``orthogonalize(matrix)`` with a backward pass that may run more than once, as a kept weight asks."""
    return cholesky(matrix) if orthogonalize is cholesky else _Reusable.apply(orthogonalize, matrix)


class _Reusable(torch.autograd.Function):
    """A map made of ordinary operations, whose graph is kept for further backward passes."""

    @staticmethod
    def forward(ctx: Any, orthogonalize: Orthogonalizer, matrix: Tensor) -> Tensor:
        ordinary = matrix.clone() if matrix.is_inference() else matrix  # a copy made in inference mode stays one
        ctx.matrix = ordinary.detach().requires_grad_(matrix.requires_grad)
        with torch.enable_grad():
            ctx.result = orthogonalize(ctx.matrix)
        return ctx.result.detach()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, *torch.autograd.grad(ctx.result, ctx.matrix, gradient, retain_graph=True)


ORTHOGONALIZERS: dict[str, Orthogonalizer] = {"cholesky": cholesky, "bjorck": bjorck}
