"""Almost-orthogonal layers (AOL): Prach & Lampert 2022 (arXiv 2208.03160)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.scale import binary_scale
from lipnet.layers.sizes import Device, Padding, Size


class AOLConv2d(ConstrainedConv2d):
    """A 1-Lipschitz convolution: each input channel of the kernel is divided by a number that its products allow.

    ``|K D|_2 <= 1`` for ``D_jj² = 1 / sum_i |KᵀK|_ij``, K the convolution as a matrix: that of any matrix. The sum is
    the same at every pixel, of no other is it more at a border, and strides leave rows of K out.

    Learned: ``raw_weight``, of the shape of ``nn.Conv2d``'s, which starts as that.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = "same",
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
        device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.raw_weight = nn.Parameter(torch.empty(self.weight_shape(), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.raw_weight, a=math.sqrt(5))
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_weight]

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return apply_map(lambda raw: almost_orthogonal(raw, self.groups), raw_weight)


def almost_orthogonal(kernel: Tensor, groups: int) -> Tensor:
    """``K D`` of a kernel ``(out, in / groups, k, k)``; a channel of zeros stays zero."""
    kernel = kernel / binary_scale(kernel, (0, 1, 2, 3))
    by_group = kernel.unflatten(0, (groups, -1))
    inputs = by_group.permute(2, 0, 1, 3, 4).flatten(1, 2)  # (in / groups, out, k, k)
    filters = by_group.transpose(1, 2).flatten(0, 1)  # (in, out / groups, k, k)
    products = functional.conv2d(inputs, filters, padding=kernel.shape[-1] - 1, groups=groups)
    sums = products.abs().sum((2, 3)).unflatten(1, (groups, -1)).sum(2).mT  # (groups, in / groups)
    scale = sums.clamp_min(torch.finfo(kernel.dtype).tiny).rsqrt()
    return (by_group * scale[:, None, :, None, None]).flatten(0, 1)
