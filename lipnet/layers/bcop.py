"""Block convolution orthogonal parametrisation (BCOP): Li et al., NeurIPS 2019, arXiv 1911.00937, section 4."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.layers.conv import check_image, check_padding_mode, same_conv2d, same_padding
from lipnet.layers.kept import KeptWeight
from lipnet.layers.orthogonal import OrthogonalizationError, Orthogonalizer, apply_map, cholesky


class BCOPConv2d(nn.Module):
    """An orthogonal convolution, a drop-in for ``nn.Conv2d`` with size-preserving padding.

    ``W = H □ B(P1, Q1) □ ... □ B(P_{k-1}, Q_{k-1})``: an orthogonal 1x1 convolution and ``k - 1`` 2x2 factors, each
    from two symmetric projectors of half rank. A stride is a pixel-unshuffle (an isometry) followed by a kernel of
    ``kernel_size / stride`` on ``stride²`` times the channels; the two are merged into one strided kernel.

    * ``padding_mode="circular"``: orthogonal at every image size. All singular values are 1.
    * ``padding_mode="zeros"``: a compression of that operator. 1-Lipschitz, not norm-preserving.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation, groups, bias: as for ``nn.Conv2d``; square kernels;
            ``kernel_size`` a multiple of ``stride``; no stride together with dilation.
        padding: only ``"same"``: output size is input size divided by stride.
        padding_mode: ``"circular"`` or ``"zeros"``.
        orthogonalize: the map of ``lipnet.layers.orthogonal`` for H and for the projectors' column spaces.

    ``weight`` has the shape of ``nn.Conv2d``'s. Learned: ``raw_matrix (groups, out, in·s²)`` for H, and
    ``raw_projectors (groups, 2(k/s - 1), n, n // 2)``, ``n = max(out, in·s²)`` per group, for P1, Q1, P2, ...;
    all start orthogonal. ``bias`` starts uniform in ``±1/sqrt(out_channels)``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: str = "same",
        dilation: int = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
        orthogonalize: Orthogonalizer = cholesky,
    ) -> None:  # fmt: skip
        super().__init__()
        _check(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        check_padding_mode(padding_mode, "BCOPConv2d")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        self.padding, self.padding_mode = same_padding(kernel_size, stride, dilation), padding_mode
        self.orthogonalize = orthogonalize
        inner, outer = in_channels // groups * stride**2, out_channels // groups
        widest, factors = max(inner, outer), kernel_size // stride - 1
        self.raw_matrix = nn.Parameter(torch.empty(groups, outer, inner))
        self.raw_projectors = nn.Parameter(torch.empty(groups, 2 * factors, widest, widest // 2))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self._kept = KeptWeight()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for matrix in (*self.raw_matrix, *self.raw_projectors.flatten(0, 1)):
            if matrix.numel():
                nn.init.orthogonal_(matrix)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.out_channels)
            nn.init.uniform_(self.bias, -bound, bound)

    @property
    def weight(self) -> Tensor:
        """The orthogonal kernel ``(out_channels, in_channels / groups, kernel_size, kernel_size)``."""
        try:
            return self._kept.get(self._build, [self.raw_matrix, self.raw_projectors])
        except OrthogonalizationError as error:
            raise OrthogonalizationError(f"{self}: {error}") from error

    def _build(self, raw_matrix: Tensor, raw_projectors: Tensor) -> Tensor:
        matrix = apply_map(self.orthogonalize, raw_matrix)
        bases = apply_map(self.orthogonalize, raw_projectors) if raw_projectors.numel() else raw_projectors
        return _merge_stride(bcop_kernel(matrix, bases), self.stride).flatten(0, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, in_channels, h, w) -> (batch, out_channels, h / stride, w / stride)``."""
        check_image(inputs, self.padding[0], self.stride, self)
        return same_conv2d(
            inputs, self.weight, self.bias, self.padding, self.padding_mode, self.stride, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        shown = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        for name, usual in (("stride", 1), ("dilation", 1), ("groups", 1), ("padding_mode", "circular")):
            value = getattr(self, name)
            shown += "" if value == usual else f", {name}={value}"
        return shown if self.bias is not None else f"{shown}, bias=False"


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
    wide = matrix.shape[-2] <= matrix.shape[-1]
    taps = (matrix if wide else matrix.mT)[..., None, None, :, :]  # (..., k, k, narrow, n), k = 1
    factors = list(enumerate(bases.unbind(-3)))
    for index, basis in factors if wide else reversed(factors):
        taps = _TwoTap.apply(taps, basis, -4 if index % 2 == 0 else -3)
    kernel = taps if wide else taps.mT
    return kernel.movedim((-4, -3), (-2, -1))


class _TwoTap(torch.autograd.Function):
    """One two-tap factor along axis -4 (vertical) or -3 (horizontal) of ``(..., k, l, narrow, n)`` taps."""

    @staticmethod
    def forward(ctx: Any, taps: Tensor, basis: Tensor, axis: int) -> Tensor:
        inner = taps.flatten(-4, -2) @ basis
        projected = (inner @ basis.mT).view(taps.shape)
        ctx.parts = taps.detach(), basis.detach(), inner  # attributes: a kept weight runs backward more than once
        ctx.axis = axis
        zero = torch.zeros_like(taps.narrow(axis, 0, 1))
        return torch.cat((projected, zero), axis).add_(torch.cat((zero, taps - projected), axis))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        taps, basis, inner = ctx.parts
        length = taps.shape[ctx.axis]
        past = gradient.narrow(ctx.axis, 1, length)
        to_projected = (gradient.narrow(ctx.axis, 0, length) - past).flatten(-4, -2)
        to_inner = to_projected @ basis
        to_taps = past + (to_inner @ basis.mT).view(taps.shape)
        to_basis = torch.cat((taps.flatten(-4, -2), to_projected), -2).mT @ torch.cat((to_inner, inner), -2)
        return to_taps, to_basis, None


def _merge_stride(kernel: Tensor, stride: int) -> Tensor:
    """``(..., out, in·s², k, k)`` behind a pixel-unshuffle, as one strided kernel ``(..., out, in, sk, sk)``."""
    if stride == 1:
        return kernel
    *leading, inner, taps, _ = kernel.shape
    split = kernel.reshape(*leading, inner // stride**2, stride, stride, taps, taps)
    merged = split.permute(*range(len(leading) + 1), -2, -4, -1, -3)
    return merged.reshape(*leading, inner // stride**2, taps * stride, taps * stride)


def _check(
    in_channels: int, out_channels: int, kernel_size: int, stride: int, padding: str, dilation: int, groups: int
) -> None:
    sizes = {
        "in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size, "stride": stride,
        "dilation": dilation, "groups": groups,
    }  # fmt: skip
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"BCOPConv2d needs {name} to be a whole number >= 1, got {size!r}")
    if padding != "same":
        raise ValueError(f"BCOPConv2d takes padding='same' only, got {padding!r}: any other loses or repeats pixels")
    if in_channels % groups or out_channels % groups:
        raise ValueError(f"channels {in_channels} -> {out_channels} cannot be split into {groups} groups")
    if kernel_size % stride:
        raise ValueError(
            f"kernel_size {kernel_size} is not a multiple of stride {stride}: BCOP strides by a pixel-unshuffle, "
            f"which leaves a kernel of kernel_size / stride; use {stride * max(1, kernel_size // stride)}"
        )
    if stride > 1 and dilation > 1:
        raise ValueError(f"stride {stride} and dilation {dilation} cannot be combined")
