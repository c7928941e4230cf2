"""Orthogonal convolutions by block reflectors (BRO): Lai et al., ICML 2025, arXiv 2505.15174."""

from functools import partial

import torch
from torch import Tensor, nn

from lipnet.layers.convolutions.fourier import FourierConv2d
from lipnet.layers.frequency import response
from lipnet.layers.reflection import rank, reflecting, reflection, start_as_signs
from lipnet.layers.sizes import Device, Padding, Size


class BROConv2d(FourierConv2d):
    """An orthogonal convolution on images of one size: at each frequency the reflection of a subspace.

    All singular values are 1. Where the numbers of channels differ it is a part of a square one.

    Args:
        share: of the directions, those that are reflected; of the half there are most choices, of fewer it is cheaper.
        others: as for ``FourierConv2d``.

    Learned: ``raw_columns (c, share c, k / s, k / s)`` with ``c = max(in·s², out)``, the kernel of what is reflected;
    it starts near the first channels of each pixel, so that the layer is nearly the identity but for signs.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, bias: bool = True,
        image_size: Size = (32, 32), padding: Padding = "same", device: Device = None,
        dtype: torch.dtype | None = None, share: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, bias, image_size, padding, device, dtype)
        widest, taps = max(self.inner_channels, self.out_channels), self.kernel_size // self.stride
        shape = widest, rank(widest, share), taps, taps
        self.raw_columns = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        widest, _, taps, _ = self.raw_columns.shape
        self.raw_columns.normal_(0, 1 / (9 * widest * taps))
        start_as_signs(self.raw_columns[:, :, taps // 2, taps // 2])
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_columns]

    def build_weight(self, raw_columns: Tensor) -> Tensor:
        return self.kernel_of(partial(_blocks, self.out_channels, self.inner_channels), raw_columns)


def _blocks(outputs: int, inputs: int, size: tuple[int, int], raw_columns: Tensor) -> Tensor:
    """The reflections at all frequencies, as many of their rows and columns as there are channels."""
    return reflection(response(reflecting(raw_columns), size))[..., :outputs, :inputs]
