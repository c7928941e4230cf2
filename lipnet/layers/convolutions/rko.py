"""Reshaped kernel orthogonalisation (RKO), as in Cisse et al. 2017 (arXiv 1704.08847) and Li et al. 2019, section 3."""

from typing import Any

import torch
from torch import Tensor, nn

from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.orthogonal import ORTHOGONALIZERS, Orthogonalizer, apply_map, cholesky, start_orthogonal
from lipnet.layers.sizes import Device, Padding, Size


class RKOConv2d(ConstrainedConv2d):
    """A 1-Lipschitz convolution: the kernel, reshaped to ``out x (in · k²)``, is orthonormal and divided by ``k``.

    A convolution's norm is at most ``k`` times that of its reshaped kernel (with a stride, ``k / s`` times). Only with
    ``k = s``, where patches do not overlap, is the layer orthogonal; otherwise its singular values spread below 1.

    Args:
        orthogonalize: the map of ``lipnet.layers.orthogonal`` for the reshaped kernel.
        others: as for ``ConstrainedConv2d``.

    Learned: ``raw_matrix (groups, out, in·k²)``, which starts orthogonal.
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
        columns = self.in_channels // self.groups * self.kernel_size**2
        rows = self.out_channels // self.groups
        self.raw_matrix = nn.Parameter(torch.empty(self.groups, rows, columns, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for matrix in self.raw_matrix:
            start_orthogonal(matrix)
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_matrix]

    def build_weight(self, raw_matrix: Tensor) -> Tensor:
        orthogonalize, divisor = self.orthogonalize, self.kernel_size // self.stride
        matrix = apply_map(lambda raw: orthogonalize(raw) / divisor, raw_matrix)
        return matrix.reshape(self.out_channels, -1, self.kernel_size, self.kernel_size)


def rko(inputs: int, outputs: int, size: int, stride: int, orthogonalizer: str, **keys: Any) -> RKOConv2d:
    """The layer by the name of its orthogonalizer."""
    return RKOConv2d(inputs, outputs, size, stride, orthogonalize=ORTHOGONALIZERS[orthogonalizer], **keys)
