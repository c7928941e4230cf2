"""Block convolution orthogonal parametrisation (BCOP): Li et al., NeurIPS 2019, arXiv 1911.00937, section 4."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.orthogonal import (
    ORTHOGONALIZERS,
    Orthogonalizer,
    apply_map,
    cholesky,
    differentiable_gradients,
    start_orthogonal,
)
from lipnet.layers.sizes import Device, Padding, Size
from lipnet.layers.tracing import is_transformed

_STARTS = ("random", "identity")


class BCOPConv2d(ConstrainedConv2d):
    """An orthogonal convolution, a drop-in for ``nn.Conv2d`` with size-preserving padding.

    ``W = H □ B(P1, Q1) □ ... □ B(P_{k-1}, Q_{k-1})``: an orthogonal 1x1 convolution and ``k - 1`` 2x2 factors, each
    from two symmetric projectors of half rank.

    * ``padding_mode="circular"``: orthogonal at every image size. All singular values are 1.
    * ``padding_mode="zeros"``: a compression of that operator. 1-Lipschitz, not norm-preserving.

    Args:
        initial: ``"random"``, or ``"identity"``: the kernel begins as one tap in its middle, the identity between as
            many channels as there are on both sides; of an even number of taps, and of odd n below, nearly.
        orthogonalize: the map of ``lipnet.layers.orthogonal`` for H and for the projectors' column spaces.
        others: as for ``ConstrainedConv2d``.

    Learned: ``raw_matrix (groups, out, in·s²)`` for H, and ``raw_projectors (groups, 2(k/s - 1), n, n // 2)``,
    ``n = max(out, in·s²)`` per group, for P1, Q1, P2, ...; all start orthogonal.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = "same",
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
        orthogonalize: Orthogonalizer = cholesky, device: Device = None, dtype: torch.dtype | None = None,
        initial: str = "random",
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        if initial not in _STARTS:
            raise ValueError(f"BCOPConv2d starts as one of {', '.join(_STARTS)}, not as {initial!r}")
        self.orthogonalize, self.initial = orthogonalize, initial
        groups, step = self.groups, self.stride
        inner, outer = self.in_channels // groups * step**2, self.out_channels // groups
        widest, factors = max(inner, outer), self.kernel_size // step - 1
        kind: dict[str, Any] = {"device": device, "dtype": dtype}
        self.raw_matrix = nn.Parameter(torch.empty(groups, outer, inner, **kind))
        self.raw_projectors = nn.Parameter(torch.empty(groups, 2 * factors, widest, widest // 2, **kind))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for matrix in (*self.raw_matrix, *self.raw_projectors.flatten(0, 1)):
            if matrix.numel():
                start_orthogonal(matrix)
        if self.initial == "identity":
            self._start_as_identity()
        super().reset_parameters()

    @torch.no_grad()
    def _start_as_identity(self) -> None:
        """Of every four projectors in a row two are ``P`` and two ``I - P``: all commute, and
        ``(P + z (I - P)) ((I - P) + z P) = z I`` along both axes.
        """
        for matrix, bases in zip(self.raw_matrix, self.raw_projectors, strict=True):
            nn.init.eye_(matrix)
            for four in bases.split(4):
                size, rank = four.shape[1:]
                both = four.new_empty(size, 2 * rank)
                start_orthogonal(both)
                for index, basis in enumerate(four):
                    basis.copy_(both[:, rank:] if index >= 2 else both[:, :rank])

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_matrix, self.raw_projectors]

    def build_weight(self, raw_matrix: Tensor, raw_projectors: Tensor) -> Tensor:
        matrix = apply_map(self.orthogonalize, raw_matrix)
        bases = apply_map(self.orthogonalize, raw_projectors) if raw_projectors.numel() else raw_projectors
        return bcop_kernel(matrix, bases, self.stride).flatten(0, 1)


def bcop_kernel(matrix: Tensor, bases: Tensor, stride: int = 1) -> Tensor:
    """Composes the kernel ``(..., out, in, k, k)`` from its orthonormal parts.

    Args:
        matrix: H, ``(..., out, in)`` with orthonormal rows or columns.
        bases: ``(..., 2(k - 1), n, n // 2)``: orthonormal columns U of each projector ``P = U Uᵀ``, in the order
            P1, Q1, P2, Q2, ...
        stride: s, if the kernel's channels are those that a pixel-unshuffle leaves: then the two are returned as one
            strided kernel, ``(..., out, in / s², sk, sk)``.

    One two-tap factor ``P + z (I - P)`` turns taps ``X[i]`` into ``X[i] P + X[i-1] (I - P)``: with ``X P = (X U) Uᵀ``,
    two thin products for each tap that there is, on the narrow side of the kernel; no projector is ever formed. If
    ``out > in`` the transposed kernel is built, from the last factor to the first.
    """
    if is_transformed(matrix, bases):
        return _composed(matrix, bases, stride)
    return _Composition.apply(matrix, bases, stride)


def _composed(matrix: Tensor, bases: Tensor, stride: int) -> Tensor:
    """``bcop_kernel`` of torch's own operations."""
    wide = matrix.shape[-2] <= matrix.shape[-1]
    taps = (matrix if wide else matrix.mT)[..., None, None, :, :]
    numbers = range(bases.shape[-3])
    for index in numbers if wide else reversed(numbers):
        basis = bases[..., index, None, None, :, :]
        projected = taps @ basis @ basis.mT
        inner = [0, 0] * (3 - index % 2)  # pads nothing of the axes behind the one that grows
        taps = functional.pad(projected, [*inner, 0, 1]) + functional.pad(taps - projected, [*inner, 1, 0])
    kernel = _merge_stride(_batch(taps if wide else taps.mT, 4), stride)
    return kernel.view(*matrix.shape[:-2], *kernel.shape[1:])


class _Composition(torch.autograd.Function):
    """``bcop_kernel`` in one piece: a kernel of few channels costs what is recorded for autograd, not what is computed.

    Taps lie as ``(batch, k, l, narrow, n)`` on the way.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, bases: Tensor, stride: int) -> Tensor:
        ctx.inputs = matrix, bases
        ctx.shape, ctx.bases_shape, ctx.stride = matrix.shape, bases.shape, stride
        ctx.wide = matrix.shape[-2] <= matrix.shape[-1]
        matrices, bases = _batch(matrix, 2), _batch(bases, 3)
        taps = (matrices if ctx.wide else matrices.mT)[:, None, None]
        ctx.factors = []  # attributes: a cached weight runs backward more than once
        numbers = range(bases.shape[1])
        for index in numbers if ctx.wide else reversed(numbers):
            basis, axis = bases[:, index], 1 + index % 2
            flat = taps.flatten(1, 3)
            inner = torch.bmm(flat, basis)
            ctx.factors.append((flat, basis, inner, axis))
            taps = _two_taps(taps, torch.bmm(inner, basis.mT).view(taps.shape), axis)
        kernel = _merge_stride(taps if ctx.wide else taps.mT, stride)
        return kernel.view(*matrix.shape[:-2], *kernel.shape[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return *differentiable_gradients(partial(_composed, stride=ctx.stride), ctx.inputs, gradient), None
        gradient = _split_stride(_batch(gradient, 4), ctx.stride, ctx.wide)
        to_bases = []
        for flat, basis, inner, axis in reversed(ctx.factors):
            length = gradient.shape[axis] - 1
            past = gradient.narrow(axis, 1, length)
            to_projected = (gradient.narrow(axis, 0, length) - past).flatten(1, 3)
            to_inner = torch.bmm(to_projected, basis)
            to_bases.append(torch.baddbmm(torch.bmm(flat.mT, to_inner), to_projected.mT, inner))
            gradient = past + torch.bmm(to_inner, basis.mT).view(past.shape)
        if ctx.wide:
            to_bases.reverse()
        to_matrix = gradient[:, 0, 0] if ctx.wide else gradient[:, 0, 0].mT
        return to_matrix.reshape(ctx.shape), torch.stack(to_bases, 1).view(ctx.bases_shape) if to_bases else None, None


def _batch(tensor: Tensor, dimensions: int) -> Tensor:
    """The tensor with one batch dimension before its last ``dimensions``."""
    return tensor.flatten(0, -1 - dimensions) if tensor.dim() > dimensions else tensor[None]


def _two_taps(taps: Tensor, projected: Tensor, axis: int) -> Tensor:
    """``X[i] P + X[i-1] (I - P)`` from the taps X and ``X P``."""
    length = taps.shape[axis]
    size = list(taps.shape)
    size[axis] += 1
    longer = taps.new_zeros(size)
    longer.narrow(axis, 0, length).copy_(projected)
    longer.narrow(axis, 1, length).add_(taps).sub_(projected)
    return longer


def _merge_stride(taps: Tensor, stride: int) -> Tensor:
    """``(batch, k, k, out, in·s²)`` behind a pixel-unshuffle, as one strided kernel ``(batch, out, in, sk, sk)``."""
    batch, size, _, outer, inner = taps.shape
    split = taps.reshape(batch, size, size, outer, inner // stride**2, stride, stride)
    return split.permute(0, 3, 4, 1, 5, 2, 6).reshape(batch, outer, -1, size * stride, size * stride)


def _split_stride(kernel: Tensor, stride: int, wide: bool) -> Tensor:
    """The reverse, contiguous: ``(batch, k, k, out, in·s²)``, or ``(batch, k, k, in·s², out)`` if not ``wide``."""
    batch, outer, inner, width, _ = kernel.shape
    size = width // stride
    split = kernel.reshape(batch, outer, inner, size, stride, size, stride)
    order = (0, 3, 5, 1, 2, 4, 6) if wide else (0, 3, 5, 2, 4, 6, 1)
    narrow, widest = (outer, inner * stride**2) if wide else (inner * stride**2, outer)
    return split.permute(order).reshape(batch, size, size, narrow, widest)


def bcop(inputs: int, outputs: int, size: int, stride: int, orthogonalizer: str, **keys: Any) -> BCOPConv2d:
    """The layer by the name of its orthogonalizer."""
    return BCOPConv2d(inputs, outputs, size, stride, orthogonalize=ORTHOGONALIZERS[orthogonalizer], **keys)


def bcop_fixed(inputs: int, outputs: int, size: int, stride: int, **keys: Any) -> BCOPConv2d:
    """The same with its kernel and bias as they begin."""
    return bcop(inputs, outputs, size, stride, **keys).requires_grad_(False)
