"""Layer-wise orthogonal training (LOT): Xu, Li & Li, NeurIPS 2022, arXiv 2210.11620."""

from functools import partial

import torch
from torch import Tensor, nn

from lipnet.layers.convolutions.fourier import FourierConv2d
from lipnet.layers.frequency import response
from lipnet.layers.polar import polar
from lipnet.layers.scale import binary_scale
from lipnet.layers.sizes import Device, Padding, Size, whole_number


class LOTConv2d(FourierConv2d):
    """An orthogonal convolution on images of one size: the polar factor of a free kernel's matrix at each frequency.

    By Newton's iteration, which ends when the factors are orthonormal. A free kernel whose matrix at some frequency is
    nearly of lower rank may take more than ``iterations``: then the layer is 1-Lipschitz, and not quite orthogonal.

    Args:
        iterations: at most.
        others: as for ``FourierConv2d``.

    Learned: ``raw_weight (out, in·s², k / s, k / s)``, which starts as the identity, of as many channels as there are.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, bias: bool = True,
        image_size: Size = (32, 32), iterations: int = 30, padding: Padding = "same", device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, bias, image_size, padding, device, dtype)
        self.iterations = whole_number(iterations, "iterations", "LOTConv2d")
        taps = self.kernel_size // self.stride
        shape = self.out_channels, self.inner_channels, taps, taps
        self.raw_weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        taps = self.raw_weight.shape[-1]
        self.raw_weight.zero_()
        self.raw_weight[:, :, taps // 2, taps // 2] = torch.eye(self.out_channels, self.inner_channels)
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_weight]

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return self.kernel_of(partial(_blocks, self.iterations), raw_weight)


def _blocks(iterations: int, size: tuple[int, int], raw_weight: Tensor) -> Tensor:
    scaled = raw_weight / binary_scale(raw_weight, (0, 1, 2, 3))
    return polar(response(scaled, size), iterations)
