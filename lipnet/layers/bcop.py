"""Block convolution orthogonal parametrisation (BCOP): Li et al., NeurIPS 2019, arXiv 1911.00937, section 4."""

from typing import Any

import torch
from torch import Tensor, nn

from lipnet.layers.constrained import ConstrainedConv2d
from lipnet.layers.orthogonal import Orthogonalizer, apply_map, cholesky


class BCOPConv2d(ConstrainedConv2d):
    """An orthogonal convolution, a drop-in for ``nn.Conv2d`` with size-preserving padding.

    ``W = H □ B(P1, Q1) □ ... □ B(P_{k-1}, Q_{k-1})``: an orthogonal 1x1 convolution and ``k - 1`` 2x2 factors, each
    from two symmetric projectors of half rank.

    * ``padding_mode="circular"``: orthogonal at every image size. All singular values are 1.
    * ``padding_mode="zeros"``: a compression of that operator. 1-Lipschitz, not norm-preserving.

    Args:
        orthogonalize: the map of ``lipnet.layers.orthogonal`` for H and for the projectors' column spaces.
        others: as for ``ConstrainedConv2d``.

    Learned: ``raw_matrix (groups, out, in·s²)`` for H, and ``raw_projectors (groups, 2(k/s - 1), n, n // 2)``,
    ``n = max(out, in·s²)`` per group, for P1, Q1, P2, ...; all start orthogonal.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: str = "same",
        dilation: int = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
        orthogonalize: Orthogonalizer = cholesky,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        self.orthogonalize = orthogonalize
        inner, outer = in_channels // groups * stride**2, out_channels // groups
        widest, factors = max(inner, outer), kernel_size // stride - 1
        self.raw_matrix = nn.Parameter(torch.empty(groups, outer, inner))
        self.raw_projectors = nn.Parameter(torch.empty(groups, 2 * factors, widest, widest // 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for matrix in (*self.raw_matrix, *self.raw_projectors.flatten(0, 1)):
            if matrix.numel():
                nn.init.orthogonal_(matrix)
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_matrix, self.raw_projectors]

    def build_weight(self, raw_matrix: Tensor, raw_projectors: Tensor) -> Tensor:
        matrix = apply_map(self.orthogonalize, raw_matrix)
        bases = apply_map(self.orthogonalize, raw_projectors) if raw_projectors.numel() else raw_projectors
        kernel = bcop_kernel(matrix, bases)  # of the channels that a pixel-unshuffle by the stride leaves
        return _merge_stride(kernel, self.stride).flatten(0, 1)


def bcop_kernel(matrix: Tensor, bases: Tensor) -> Tensor:
    """Composes the kernel ``(..., out, in, k, k)`` from its orthonormal parts.

    Args:
        matrix: H, ``(..., out, in)`` with orthonormal rows or columns.
        bases: ``(..., 2(k - 1), n, n // 2)``: orthonormal columns U of each projector ``P = U Uᵀ``, in the order
            P1, Q1, P2, Q2, ...

    One two-tap factor ``P + z (I - P)`` turns taps ``X[i]`` into ``X[i] P + X[i-1] (I - P)``: with ``X P = (X U) Uᵀ``,
    two thin products for each tap that there is, on the narrow side of the kernel; no projector is ever formed. If
    ``out > in`` the transposed kernel is built, from the last factor to the first.
    """
    return _Composition.apply(matrix, bases)


class _Composition(torch.autograd.Function):
    """``bcop_kernel`` in one piece: a kernel of few channels costs what is recorded for autograd, not what is computed.

    Taps lie as ``(..., k, l, narrow, n)`` on the way.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, bases: Tensor) -> Tensor:
        ctx.wide = matrix.shape[-2] <= matrix.shape[-1]
        taps = (matrix if ctx.wide else matrix.mT)[..., None, None, :, :]
        ctx.factors = []  # attributes: a kept weight runs backward more than once
        numbers = range(bases.shape[-3])
        for index in numbers if ctx.wide else reversed(numbers):
            basis, axis = bases.select(-3, index), -4 if index % 2 == 0 else -3
            flat = taps.flatten(-4, -2)
            inner = flat @ basis
            ctx.factors.append((flat, basis, inner, axis))
            taps = _two_taps(taps, (inner @ basis.mT).view(taps.shape), axis)
        return (taps if ctx.wide else taps.mT).movedim((-4, -3), (-2, -1))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        gradient = gradient.movedim((-2, -1), (-4, -3))
        gradient = (gradient if ctx.wide else gradient.mT).contiguous()
        to_bases = []
        for flat, basis, inner, axis in reversed(ctx.factors):
            length = gradient.shape[axis] - 1
            past = gradient.narrow(axis, 1, length)
            to_projected = (gradient.narrow(axis, 0, length) - past).flatten(-4, -2)
            to_inner = to_projected @ basis
            to_bases.append(flat.mT @ to_inner + to_projected.mT @ inner)
            gradient = past + (to_inner @ basis.mT).view(past.shape)
        if ctx.wide:
            to_bases.reverse()
        matrix = gradient[..., 0, 0, :, :]
        return matrix if ctx.wide else matrix.mT, torch.stack(to_bases, -3) if to_bases else None


def _two_taps(taps: Tensor, projected: Tensor, axis: int) -> Tensor:
    """``X[i] P + X[i-1] (I - P)`` from the taps X and ``X P``."""
    length = taps.shape[axis]
    size = list(taps.shape)
    size[axis] += 1
    longer = taps.new_zeros(size)
    longer.narrow(axis, 0, length).copy_(projected)
    longer.narrow(axis, 1, length).add_(taps).sub_(projected)
    return longer


def _merge_stride(kernel: Tensor, stride: int) -> Tensor:
    """``(..., out, in·s², k, k)`` behind a pixel-unshuffle, as one strided kernel ``(..., out, in, sk, sk)``."""
    if stride == 1:
        return kernel
    *leading, inner, taps, _ = kernel.shape
    split = kernel.reshape(*leading, inner // stride**2, stride, stride, taps, taps)
    merged = split.permute(*range(len(leading) + 1), -2, -4, -1, -3)
    return merged.reshape(*leading, inner // stride**2, taps * stride, taps * stride)
