"""Maps from free matrices onto matrices with orthonormal rows or columns.

Every map takes ``(..., m, n)``, batched over the leading dimensions, and returns the same shape: orthonormal columns
if ``m >= n``, orthonormal rows otherwise. ``cholesky`` is the default, ``bjorck`` the published reference.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.layers.scale import binary_scale
from lipnet.layers.tracing import is_transformed, untransformed

Orthogonalizer = Callable[[Tensor], Tensor]


def start_orthogonal(matrix: Tensor) -> None:
    """Fills ``(rows, columns)`` as ``nn.init.orthogonal_`` does, in float32 where the precision is lower."""
    start = torch.empty_like(matrix, dtype=torch.promote_types(matrix.dtype, torch.float32))
    with torch.no_grad():
        matrix.copy_(nn.init.orthogonal_(start))


class OrthogonalizationError(RuntimeError):
    """A matrix has no well-defined orthonormalisation: it is rank-deficient, or holds NaN or infinity."""


def bjorck(matrix: Tensor, iterations: int = 20, power_iterations: int = 10) -> Tensor:
    """Order-1 Björck iteration ``W <- 1.5 W - 0.5 W WᵀW`` (Björck & Bowie 1971; Anil et al. 2019, eq. 4).

    The matrix is first divided by an estimate of its spectral norm. Power iteration gives a *lower* estimate (a few
    per cent low in practice). That is harmless: every singular value below sqrt(3) is contracted towards 1, and
    a result that has not converged has singular values below 1, never above. The start vector is fixed, so that the
    map is deterministic.
    """
    wide = matrix.shape[-2] < matrix.shape[-1]
    tall = matrix / binary_scale(matrix)
    tall = tall.mT if wide else tall
    scale = _spectral_norm_estimate(tall.detach(), power_iterations)
    if not is_transformed(matrix) and not bool(((scale > 0) & torch.isfinite(scale)).all()):
        raise OrthogonalizationError(_cannot("is zero or holds NaN or infinity", matrix))
    weight = _flat(tall / scale)
    add_product = torch.baddbmm if weight.dim() == 3 else torch.addmm  # one pass over memory instead of four
    for _ in range(iterations):
        weight = add_product(weight, weight, product(weight.mT, weight), beta=1.5, alpha=-0.5)
    weight = weight.view_as(tall)
    return weight.mT if wide else weight


def _spectral_norm_estimate(matrix: Tensor, iterations: int) -> Tensor:
    """A lower estimate of the spectral norm, ``(..., 1, 1)``, by power iteration from a fixed start."""
    start = _start(matrix.shape[-1]).to(device=matrix.device, dtype=matrix.dtype)
    vector = start.expand(*matrix.shape[:-2], -1, -1)
    for _ in range(iterations):
        vector = _unit(matrix.mT @ _unit(matrix @ vector))
    return torch.linalg.vector_norm(matrix @ vector, dim=(-2, -1), keepdim=True)


def _start(size: int) -> Tensor:
    with untransformed():  # within vmap nothing is drawn
        return torch.randn(size, 1, generator=torch.Generator().manual_seed(0))


def _unit(vector: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(vector, dim=-2, keepdim=True)
    return vector / length.clamp_min(torch.finfo(vector.dtype).tiny)


def cholesky(matrix: Tensor) -> Tensor:
    """The orthonormal factor of the QR decomposition with a positive diagonal, by Cholesky on the small Gram matrix.

    With ``A`` tall and ``AᵀA = LLᵀ``, returns ``A L⁻ᵀ``: one product, one small factorisation and one more product,
    where Björck needs twenty of each. A Gram matrix squares the condition number, and with it the distance of the
    result from orthogonality, which is measured: where it is more than rounding, the pass is repeated on its own result
    (CholeskyQR2, Yamamoto et al. 2015), and where that is hopeless, Householder QR in float64 takes over. All compute
    the same map. So does the QR decomposition that stands in for it within transforms of ``torch.func``, where no value
    may be looked at: what cannot be orthonormalised is not refused there.

    Raises:
        OrthogonalizationError: a matrix is rank-deficient to working precision, or holds NaN or infinity.
    """
    return positive_qr(matrix) if is_transformed(matrix) else _CholeskyMap.apply(matrix)


def positive_qr(matrix: Tensor) -> Tensor:
    """``cholesky`` by one operation of torch's, which it can transform and differentiate any number of times."""
    wide = matrix.shape[-2] < matrix.shape[-1]
    orthonormal, triangular = torch.linalg.qr(matrix.mT if wide else matrix)
    orthonormal = orthonormal * triangular.detach().diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)
    return orthonormal.mT if wide else orthonormal


class _CholeskyMap(torch.autograd.Function):
    """``A -> Q`` of ``A = Q R``, with the backward pass of a thin QR decomposition (Walter & Lehmann 2010)."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        ctx.wide = matrix.shape[-2] < matrix.shape[-1]
        flat = _flat(matrix)
        tall, inverse = _factorise(flat.mT if ctx.wide else flat)
        orthonormal = tall.mT if ctx.wide else tall
        ctx.matrix = matrix
        ctx.factors = orthonormal.detach(), inverse  # attributes: a cached weight runs backward more than once
        return orthonormal.view_as(matrix)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor | None:
        if torch.is_grad_enabled():
            return differentiable_gradients(positive_qr, [ctx.matrix], gradient)[0]
        orthonormal, inverse = ctx.factors
        flat = _flat(gradient)
        if ctx.wide:
            inner = qr_inner_gradient(product(flat, orthonormal.mT))
            to_matrix = product(inverse.mT, _minus_product(flat, inner, orthonormal))
        else:
            inner = qr_inner_gradient(product(flat.mT, orthonormal))
            to_matrix = product(_minus_product(flat, orthonormal, inner), inverse)
        return to_matrix.view_as(gradient)


def differentiable_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], gradient: Tensor
) -> Sequence[Tensor | None]:
    """What a backward pass with ``create_graph=True`` gives: gradients that can be differentiated again.

    Args:
        function: made of torch's own operations.
        inputs: its arguments, each with its own history.
        gradient: with respect to its result.
    """
    learned = [tensor for tensor in inputs if tensor.requires_grad]
    found = torch.autograd.grad(function(*inputs), learned, gradient, create_graph=True, allow_unused=True)
    remaining = list(found)
    gradients: list[Tensor | None] = []
    for tensor in inputs:
        gradients.append(remaining.pop(0) if tensor.requires_grad else None)
    return gradients


def _flat(matrix: Tensor) -> Tensor:
    """The matrices with at most one dimension for the batch."""
    return matrix.flatten(0, -3) if matrix.dim() > 3 else matrix


def product(first: Tensor, second: Tensor) -> Tensor:
    """``first @ second`` of equally many matrices: for small ones broadcasting costs as much as the product."""
    return torch.bmm(first, second) if first.dim() == 3 else first @ second


def _minus_product(start: Tensor, first: Tensor, second: Tensor) -> Tensor:
    subtract = torch.baddbmm if start.dim() == 3 else torch.addmm
    return subtract(start, first, second, alpha=-1)


def _times(matrix: Tensor, square: Tensor) -> Tensor:
    """Their product, in the order in memory of the first."""
    return product(square.mT, matrix.mT).mT if matrix.stride(-2) == 1 else product(matrix, square)


def qr_inner_gradient(outer: Tensor) -> Tensor:
    """S of the QR gradient ``(G - Q S) R⁻ᵀ``: the lower triangle of ``Gᵀ Q``, mirrored."""
    return outer.tril() + outer.tril(-1).mT


# What one pass may leave of QᵀQ - I, in ulps of its Frobenius norm: the rounding of a product (times sqrt(n)), and not
# more, if all of it lies in one direction, than keeps float32 singular values within 1e-5 of 1.
_ROUNDING, _WORST = 8.0, 120.0


def _factorise(tall: Tensor) -> tuple[Tensor, Tensor]:
    """``Q`` and ``L⁻¹`` of ``A = Q Lᵀ``: one Cholesky pass and, where ``QᵀQ - I`` is more than rounding, another."""
    enough = torch.finfo(tall.dtype).eps * min(_ROUNDING * math.sqrt(tall.shape[-1]), _WORST)
    try:
        inverse = _inverse_lower(torch.linalg.cholesky(_gram(tall)))
        orthonormal = _times(tall, inverse.mT)
        residual = _residual(orthonormal)
        if not residual <= enough:
            if not residual < 0.1:  # the factor has no correct digits, or NaN
                return _householder(tall)
            step = _inverse_lower(torch.linalg.cholesky(_gram(orthonormal)))
            orthonormal, inverse = _times(orthonormal, step.mT), product(step, inverse)
    except torch.linalg.LinAlgError:
        return _householder(tall)
    return orthonormal, inverse


_PROBES = 16


def _residual(tall: Tensor) -> float:
    """The Frobenius norm of ``QᵀQ - I``, the largest of a batch; of large matrices an estimate from random vectors."""
    size = tall.shape[-1]
    if size <= _WHOLE:
        image, probes = product(tall.mT, tall), torch.eye(size, dtype=tall.dtype, device=tall.device)
    else:
        probes = torch.randn(size, _PROBES, generator=torch.Generator().manual_seed(0)).to(tall) / math.sqrt(_PROBES)
        image = tall.mT @ (tall @ probes)
    return float(torch.linalg.vector_norm(image - probes, dim=(-2, -1)).max())


def inverse_cholesky_factor(tall: Tensor, enough: float) -> tuple[Tensor, float]:
    """``L⁻¹`` with ``AᵀA = LLᵀ``, and A's squared condition number (the worst of the batch; infinite if L fails).

    The condition is a bound where that is at most ``enough``, and otherwise an estimate.
    """
    gram = _gram(tall)
    try:
        inverse = _inverse_lower(torch.linalg.cholesky(gram))
    except torch.linalg.LinAlgError:
        return gram, math.inf
    # |M|_2² <= |M|_1 |M|_inf: enough for small matrices; too coarse for large ones, which earn a few power steps.
    norms = [torch.linalg.vector_norm(matrix, 1, -1).amax() for matrix in (gram, inverse, inverse.mT)]
    scale, rows, columns = torch.stack(norms).tolist()
    worst = scale * rows * columns
    if not math.isfinite(worst) or not 1e-20 < scale < 1e20:  # squares out of float32's range lose digits
        return inverse, math.inf
    if worst > enough:
        estimate = _spectral_norm_estimate(gram, 3) * _spectral_norm_estimate(inverse, 3) ** 2
        worst = float(estimate.nan_to_num(math.inf, math.inf).max())
    return inverse, worst


_WHOLE = 128  # above this size, symmetric and triangular products are done in halves: fewer of them, and still fast


def _gram(tall: Tensor) -> Tensor:
    """``AᵀA``, without computing what symmetry repeats."""
    if tall.shape[-1] <= _WHOLE:
        return product(tall.mT, tall)
    first, second = tall.tensor_split(2, -1)
    cross = second.mT @ first
    return _blocks(_gram(first), cross.mT, cross, _gram(second))


def _inverse_lower(factor: Tensor) -> Tensor:
    """``L⁻¹``, without computing the zeros."""
    if factor.shape[-1] <= _WHOLE:
        identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
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
    exact = tall.double()
    scale = binary_scale(exact)
    orthonormal, triangular = torch.linalg.qr(exact / scale)
    diagonal = triangular.diagonal(dim1=-2, dim2=-1)
    smallest, largest = diagonal.abs().amin(-1), diagonal.abs().amax(-1)
    if bool((smallest <= tall.shape[-2] * torch.finfo(torch.float64).eps * largest).any()):
        raise OrthogonalizationError(_cannot("is rank-deficient", tall))
    sign = diagonal.sign().unsqueeze(-2)
    identity = torch.eye(tall.shape[-1], dtype=torch.float64, device=tall.device).expand_as(triangular)
    inverse = torch.linalg.solve_triangular(triangular * sign.mT, identity, upper=True).mT
    return (orthonormal * sign).to(tall.dtype), (inverse / scale).to(tall.dtype)


def _cannot(reason: str, matrix: Tensor) -> str:
    return (
        f"cannot orthonormalise a {tuple(matrix.shape)} matrix that {reason}; "
        "a smaller optimizer.lr, or another seed, avoids it"
    )


def apply_map(function: Callable[..., Tensor], *matrices: Tensor) -> Tensor:
    """``function(*matrices)`` with a backward pass that may run more than once, as a cached weight asks.

    The cached weight keeps the function, which must not refer to the layer: it would never be freed.
    """
    ordinary = function is cholesky or is_transformed(*matrices)
    return function(*matrices) if ordinary else _Reusable.apply(function, *matrices)


class _Reusable(torch.autograd.Function):
    """A map made of ordinary operations, whose graph is kept for further backward passes."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], *matrices: Tensor) -> Tensor:
        ctx.function, ctx.sources, ctx.matrices = function, matrices, []
        for matrix in matrices:
            ordinary = matrix.clone() if matrix.is_inference() else matrix  # a copy made in inference mode stays one
            ctx.matrices.append(ordinary.detach().requires_grad_(matrix.requires_grad))
        with torch.enable_grad():
            ctx.result = function(*ctx.matrices)
        return ctx.result.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return None, *differentiable_gradients(ctx.function, ctx.sources, gradient)
        learned = [matrix for matrix in ctx.matrices if matrix.requires_grad]
        found = iter(torch.autograd.grad(ctx.result, learned, gradient, retain_graph=True))
        return None, *(next(found) if matrix.requires_grad else None for matrix in ctx.matrices)


ORTHOGONALIZERS: dict[str, Orthogonalizer] = {"cholesky": cholesky, "bjorck": bjorck}
