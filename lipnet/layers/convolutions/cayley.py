"""Orthogonal convolutions by Cayley's map: Trockman & Kolter, ICLR 2021, arXiv 2104.07167."""

import torch
from torch import Tensor, nn

from lipnet.layers.cayley import at_norm, cayley, start_at_own_norm
from lipnet.layers.convolutions.fourier import FourierConv2d
from lipnet.layers.frequency import response
from lipnet.layers.sizes import Device, Padding, Size


class CayleyConv2d(FourierConv2d):
    """An orthogonal convolution on images of one size: Cayley's map of a free kernel's matrix at each frequency.

    All singular values are 1. The inverse of each matrix is exact, so no iteration has to converge.

    Args:
        others: as for ``FourierConv2d``.

    Learned: ``raw_weight (out, in·s², k / s, k / s)``, which starts as ``nn.Conv2d``'s kernel does, and ``norm``, the
    Frobenius norm that it is taken at, which starts as its own.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, bias: bool = True,
        image_size: Size = (32, 32), padding: Padding = "same", device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, bias, image_size, padding, device, dtype)
        taps = self.kernel_size // self.stride
        shape = self.out_channels, self.inner_channels, taps, taps
        self.raw_weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.norm = nn.Parameter(torch.empty((), device=device, dtype=dtype))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        start_at_own_norm(self.raw_weight, self.norm)
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_weight, self.norm]

    def build_weight(self, raw_weight: Tensor, norm: Tensor) -> Tensor:
        return self.kernel_of(_blocks, raw_weight, norm)


def _blocks(size: tuple[int, int], raw_weight: Tensor, norm: Tensor) -> Tensor:
    return cayley(response(at_norm(raw_weight, norm), size))
