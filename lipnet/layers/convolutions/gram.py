"""Convolutions divided by a proved bound on their norm, the same in training and in evaluation."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lipnet.layers.convolutions.constrained import SizedConv2d
from lipnet.layers.frequency import conv_operator
from lipnet.layers.gram import gram_bound
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.scale import binary_scale
from lipnet.layers.sizes import Device, Padding, Size, whole_number

_Geometry = tuple[tuple[int, int], int, int, int, str]  # image size, stride, dilation, groups, padding mode


class GramConv2d(SizedConv2d):
    """``K / bound(K)``, with a bound on the norm of K as a convolution on images of ``image_size``.

    The bound is that of Gram iteration over all frequencies, a few per cent above the norm, and gradients flow through
    it. So what is trained is what is evaluated, which ``OSSNConv2d``, with its cheaper estimate, is not.

    Args:
        steps: of the iteration; each halves what the bound is too large by.
        others: as for ``SizedConv2d``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = "same",
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
        image_size: Size = (32, 32), steps: int = 5, device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, image_size,
            device, dtype,
        )  # fmt: skip
        self.steps = whole_number(steps, "steps", type(self).__name__)
        self.reset_parameters()

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return apply_map(self.normalized(), raw_weight)

    def normalized(self) -> Callable[[Tensor], Tensor]:
        """The map of kernels, which does not refer to the layer: a cached weight would keep it in memory."""
        geometry = self.image_size, self.stride, self.dilation, self.groups, self.padding_mode
        return partial(_normalized, geometry, self.steps)


def _normalized(geometry: _Geometry, steps: int, kernel: Tensor) -> Tensor:
    kernel = kernel / binary_scale(kernel, (0, 1, 2, 3))
    blocks = conv_operator(kernel, *geometry, True)  # half of the frequencies: the others have the same norms
    # Transforms and products round by a few ulps for each term of a sum.
    rounding = 8 * (kernel[0].numel() + steps + 8) * torch.finfo(kernel.dtype).eps
    return kernel / (gram_bound(blocks, steps) * (1 + rounding)).clamp_min(torch.finfo(kernel.dtype).tiny)
