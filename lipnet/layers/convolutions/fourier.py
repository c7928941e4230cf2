"""What circular convolutions share that are built frequency by frequency, for images of one size."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.convolutions.padded import check_image, check_image_size, same_conv2d, same_padding
from lipnet.layers.frequency import image_kernel, response
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.sizes import LOW_PRECISION, Device, Padding, Size, image_sides
from lipnet.layers.tracing import shape_is_known

Blocks = Callable[..., Tensor]


class FourierConv2d(ConstrainedConv2d):
    """A convolution on a torus, which the Fourier transform splits into one small matrix for each frequency.

    ``weight`` is as large as the image, whatever the size of the free kernel: making each matrix orthogonal leaves no
    kernel small. The layer itself convolves by the transform; ``to_plain`` makes a plain convolution of its weight,
    which takes long on large images and is what certificates are for.

    Args:
        kernel_size: of the free kernel, a multiple of the stride.
        image_size: height and width of the inputs, or one number for both; neither more than twice the other.
        others: as for ``ConstrainedConv2d``; no dilation, no groups, circular padding.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, bias: bool = True,
        image_size: Size = (32, 32), padding: Padding = "same", device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias=bias, device=device, dtype=dtype)
        self.image_size = image_sides(image_size, type(self).__name__)
        self.padding = same_padding(max(self.image_size), self.stride)
        check_image_size(self.image_size, self.padding[0], self.stride, type(self).__name__)

    @property
    def inner_channels(self) -> int:
        """Channels behind the pixel-unshuffle that a stride is."""
        return self.in_channels * self.stride**2

    def weight_shape(self) -> tuple[int, ...]:
        side = max(self.image_size)
        return self.out_channels, self.in_channels, side, side

    def kernel_of(self, blocks: Blocks, *parameters: Tensor) -> Tensor:
        """The weight whose matrices are ``blocks(size, *parameters)``.

        Args:
            blocks: a function, which refers to no layer, of the image's size behind the stride; returns ``(h, w // 2 +
                1, out, in·s²)`` complex matrices.
        """
        size = self.image_size[0] // self.stride, self.image_size[1] // self.stride
        return apply_map(partial(_kernel, blocks, size, self.stride), *parameters)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, in_channels, h, w) -> (batch, out_channels, h / stride, w / stride)``; h, w as ``image_size``."""
        if shape_is_known(inputs):
            check_image(inputs, self.in_channels, self)
            if tuple(inputs.shape[-2:]) != self.image_size:
                raise ValueError(f"{self} is made for images of {self.image_size}, got {tuple(inputs.shape[-2:])}")
        return circular_conv2d(inputs, self.effective_weight(), self.bias, self.image_size, self.stride)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, image_size={self.image_size}"


def _kernel(blocks: Blocks, size: tuple[int, int], stride: int, *parameters: Tensor) -> Tensor:
    kernel = image_kernel(blocks(size, *parameters), size)
    return functional.pixel_shuffle(kernel, stride)


def circular_conv2d(inputs: Tensor, weight: Tensor, bias: Tensor | None, size: tuple[int, int], stride: int) -> Tensor:
    """What ``same_conv2d`` computes with circular padding, by the Fourier transform.

    Transforms know no low precision (under autocast they are taken in float32) and no empty batches.
    """
    if weight.dtype in LOW_PRECISION or (shape_is_known(inputs) and inputs.numel() == 0):
        return same_conv2d(inputs, weight, bias, same_padding(weight.shape[-1], stride), "circular", stride, 1, 1)
    images = inputs.float() if inputs.dtype in LOW_PRECISION else inputs
    height, width = size[0] // stride, size[1] // stride
    blocks = response(functional.pixel_unshuffle(weight, stride), (height, width))
    waves = torch.fft.rfft2(functional.pixel_unshuffle(images, stride))
    products = torch.einsum("...ihw,hwoi->...ohw", waves, blocks.conj())
    outputs = torch.fft.irfft2(products, (height, width)).to(inputs.dtype)
    return outputs if bias is None else outputs + bias[:, None, None].to(outputs.dtype)
