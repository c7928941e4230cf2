"""L2-nonexpansive convolutions (L2NE): Qian & Wegman 2019 (arXiv 1802.07896), as in Li et al. 2019."""

import math

import torch
from torch import Tensor, nn

from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.scale import binary_scale
from lipnet.layers.sizes import Device, Padding, Size


class L2NEConv2d(ConstrainedConv2d):
    """A 1-Lipschitz convolution: the kernel, reshaped to W ``out x (in · k²)``, is divided by a bound on its norm.

    ``|W|_2² <= min(|W Wᵀ|_inf, |Wᵀ W|_inf)``, and the convolution's norm is at most ``k`` (``k / s``) times that of W.
    A bound, not an estimate: it holds at every step, for every image size.

    Learned: ``raw_matrix (groups, out, in·k²)``, which starts as ``nn.Conv2d``'s kernel does.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = "same",
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
        device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        columns = self.in_channels // self.groups * self.kernel_size**2
        rows = self.out_channels // self.groups
        self.raw_matrix = nn.Parameter(torch.empty(self.groups, rows, columns, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.raw_matrix.shape[-1])
        nn.init.uniform_(self.raw_matrix, -bound, bound)
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_matrix]

    def build_weight(self, raw_matrix: Tensor) -> Tensor:
        divisor = self.kernel_size // self.stride
        matrix = apply_map(lambda raw: nonexpansive(raw) / divisor, raw_matrix)
        return matrix.reshape(self.out_channels, -1, self.kernel_size, self.kernel_size)


def nonexpansive(matrix: Tensor) -> Tensor:
    """``W / sqrt(min(|W Wᵀ|_inf, |Wᵀ W|_inf))`` of ``(..., m, n)``; zero stays zero."""
    matrix = matrix / binary_scale(matrix)
    rows, columns = (gram.abs().sum(-1).amax(-1) for gram in (matrix @ matrix.mT, matrix.mT @ matrix))
    bound = torch.minimum(rows, columns).clamp_min(torch.finfo(matrix.dtype).tiny)
    return matrix / bound.sqrt()[..., None, None]
