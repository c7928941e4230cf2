"""Circular convolutions in the Fourier domain, where they are one small matrix for each frequency."""

import torch
from torch import Tensor
from torch.nn import functional


def transfer_function(
    weight: Tensor, size: tuple[int, int], stride: int, dilation: int, groups: int, distinct: bool = False
) -> Tensor:
    """The circular convolution on ``size`` pixels, block-diagonalised by the Fourier transform.

    Returns ``(groups, h/s * w/s, out, in·s²)`` complex matrices. A strided convolution is a pixel-unshuffle (an
    isometry) followed by a convolution of the ``s²`` phases of its kernel. Shifts by the padding only multiply by
    phases of modulus 1, so they are left out. Taps that wrap around a small image are added, as the layer does.

    Args:
        distinct: only half of the frequencies; the others' matrices are their conjugates, with the same norms.
    """
    height, width = size
    weight = weight.unflatten(0, (groups, -1))
    rows, columns = (dilation * torch.arange(taps, device=weight.device) for taps in weight.shape[-2:])
    image = _laid(_laid(weight, rows % height, height, -2), columns % width, width, -1)
    phases = functional.pixel_unshuffle(image.flatten(0, 1), stride).unflatten(0, image.shape[:2])
    transform = torch.fft.rfft2 if distinct else torch.fft.fft2
    frequencies = transform(phases)  # (groups, out, in·s², h/s, w/s)
    return frequencies.flatten(-2).movedim(-1, 1)


def conv_operator(
    weight: Tensor, size: tuple[int, int], stride: int, dilation: int, groups: int, padding_mode: str,
    distinct: bool = False,
) -> Tensor:  # fmt: skip
    """``transfer_function`` of a convolution that keeps the image size, on images of ``size``.

    A zero-padded convolution is a compression of the circular one on the padded size: its norm is at most that one's.
    """
    if padding_mode == "zeros":  # no tap may wrap around onto a pixel of the image
        reach = dilation * (weight.shape[-1] - 1)
        size = (-(-(size[0] + reach) // stride) * stride, -(-(size[1] + reach) // stride) * stride)
    return transfer_function(weight, size, stride, dilation, groups, distinct)


def response(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """The matrices of a circular convolution with a kernel of stride 1, ``(h, w // 2 + 1, out, in)`` complex.

    Half of the last axis' frequencies: the others are their conjugates. The middle tap, the later one of two, moves
    nothing. Taps that wrap around a small image are added.
    """
    height, width = size
    image = _wrapped(_wrapped(kernel, height, -2), width, -1)
    return torch.fft.rfft2(image).movedim((-2, -1), (0, 1))


def _wrapped(kernel: Tensor, period: int, axis: int) -> Tensor:
    """The taps along an axis at their pixels: the middle one at 0."""
    taps = kernel.shape[axis]
    return _laid(kernel, (torch.arange(taps, device=kernel.device) - taps // 2) % period, period, axis)


def _laid(kernel: Tensor, places: Tensor, period: int, axis: int) -> Tensor:
    """The taps along an axis added at these pixels."""
    shape = list(kernel.shape)
    shape[axis] = period
    return kernel.new_zeros(shape).index_add(axis, places, kernel)


def image_kernel(blocks: Tensor, size: tuple[int, int]) -> Tensor:
    """The reverse: the square kernel ``(out, in, n, n)`` of these matrices, ``n`` the image's longer side."""
    height, width = size
    longer = max(size)
    image = torch.fft.irfft2(blocks.movedim((0, 1), (-2, -1)), size)
    centred = image.roll((height // 2, width // 2), (-2, -1))
    (left, right), (above, below) = (
        (longer // 2 - side // 2, longer - longer // 2 - side + side // 2) for side in (width, height)
    )
    return functional.pad(centred, (left, right, above, below))
