"""Adaptive orthogonal convolutions (AOC): Boissin et al., ICML 2025, arXiv 2501.07930."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.convolutions.bcop import bcop_kernel
from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.orthogonal import ORTHOGONALIZERS, Orthogonalizer, apply_map, cholesky, start_orthogonal
from lipnet.layers.sizes import Device, Padding, Size


class AOCConv2d(ConstrainedConv2d):
    """An orthogonal convolution of any stride up to its kernel size, a drop-in for ``nn.Conv2d``.

    A stride s is an orthogonal convolution of size ``k - s + 1`` with stride 1, as BCOP builds it, and behind it a
    reshaped orthonormal kernel of size s with stride s, whose patches do not overlap; the two are merged into one
    strided kernel. With ``m = max(in, out // s²)`` channels between them neither undoes what the other keeps, and all
    singular values are 1. BCOP's strided kernels are made behind a pixel-unshuffle, of matrices of ``s²`` times the
    channels; with stride 1 the two layers are the same.

    * ``padding_mode="circular"``: orthogonal at every image size.
    * ``padding_mode="zeros"``: a compression of that operator. 1-Lipschitz, not norm-preserving.

    Args:
        kernel_size: at least the stride, and need not be a multiple of it.
        orthogonalize: the map of ``lipnet.layers.orthogonal`` for every free matrix.
        others: as for ``ConstrainedConv2d``.

    Learned, all starting orthogonal: with a stride ``raw_patches (groups, out, m·s²)``; with stride 1 or ``m > in``
    ``raw_matrix (groups, m, in)``; and ``raw_projectors (groups, 2(k - s), n, n // 2)``, ``n = max(m, in)``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = "same",
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
        orthogonalize: Orthogonalizer = cholesky, device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.orthogonalize = orthogonalize
        groups, step, factors = self.groups, self.stride, self.kernel_size - self.stride
        inner, outer = self.in_channels // groups, self.out_channels // groups
        middle = outer if step == 1 else max(inner, outer // step**2) if factors else inner
        widest = max(inner, middle)
        kind: dict[str, Any] = {"device": device, "dtype": dtype}
        # A square matrix before the patches would change no set of kernels.
        patches = torch.empty(groups, outer, middle * step**2, **kind) if step > 1 else None
        matrix = torch.empty(groups, middle, inner, **kind) if step == 1 or middle > inner else None
        self.raw_patches = None if patches is None else nn.Parameter(patches)
        self.raw_matrix = None if matrix is None else nn.Parameter(matrix)
        self.raw_projectors = nn.Parameter(torch.empty(groups, 2 * factors, widest, widest // 2, **kind))
        self.reset_parameters()

    def check_stride(self) -> None:
        if self.kernel_size < self.stride:
            raise ValueError(
                f"kernel_size {self.kernel_size} is smaller than stride {self.stride}: pixels between the kernels "
                f"would be lost; use at least {self.stride}"
            )

    def reset_parameters(self) -> None:
        start_parts(self.free_parameters())
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [raw for raw in (self.raw_patches, self.raw_matrix, self.raw_projectors) if raw is not None]

    def build_weight(self, *parameters: Tensor) -> Tensor:
        return aoc_kernel(parameters, self.in_channels // self.groups, self.stride, self.orthogonalize).flatten(0, 1)


def start_parts(parameters: Sequence[Tensor]) -> None:
    """Makes every free matrix orthogonal."""
    for raw in parameters:
        for matrix in raw.flatten(0, -3):
            if matrix.numel():
                start_orthogonal(matrix)


def aoc_kernel(parameters: Sequence[Tensor], inputs: int, stride: int, orthogonalize: Orthogonalizer) -> Tensor:
    """The kernel ``(groups, out, inputs, k, k)`` of ``AOCConv2d``'s free parameters; ``inputs`` channels a group."""
    *parts, bases = (apply_map(orthogonalize, raw) if raw.numel() else raw for raw in parameters)
    if stride == 1 or len(parts) == 2:
        matrix = parts.pop()
    else:
        matrix = torch.eye(inputs, dtype=bases.dtype, device=bases.device).repeat(len(bases), 1, 1)
    kernel = bcop_kernel(matrix, bases)
    if stride == 1:
        return kernel
    patches = parts.pop().unflatten(-1, (-1, stride, stride))
    return apply_map(before_patches, kernel, patches) if bases.shape[-3] else patches


def before_patches(kernel: Tensor, patches: Tensor) -> Tensor:
    """The kernel of a convolution followed by one with ``patches``, whose stride it has.

    Args:
        kernel: ``(groups, middle, in, m, m)``.
        patches: ``(groups, out, middle, s, s)``.

    Returns:
        ``(groups, out, in, m + s - 1, m + s - 1)``: all groups by one convolution, whose batch are the inputs.
    """
    groups, outputs, _, stride, _ = patches.shape
    images = kernel.transpose(1, 2).transpose(0, 1).flatten(1, 2)
    taps = functional.conv2d(images, patches.flip(-2, -1).flatten(0, 1), padding=stride - 1, groups=groups)
    return taps.unflatten(1, (groups, outputs)).permute(1, 2, 0, 3, 4)


def aoc(inputs: int, outputs: int, size: int, stride: int, orthogonalizer: str, **keys: Any) -> AOCConv2d:
    """The layer by the name of its orthogonalizer."""
    return AOCConv2d(inputs, outputs, size, stride, orthogonalize=ORTHOGONALIZERS[orthogonalizer], **keys)
