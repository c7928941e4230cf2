"""Singular values of linear layers, in float64, from their effective weights."""

import functools

import torch
from torch import Tensor, nn

from lipnet.layers import BCOPConv2d, OrthogonalLinear, PaddedConv2d

Shape = tuple[int, ...]


@functools.singledispatch
def singular_values(layer: nn.Module, input_shape: Shape) -> Tensor:
    """All singular values of a layer as a linear map on inputs of ``input_shape`` (no batch axis), float64.

    For a zero-padded convolution they are those of the circular convolution on the padded size, of which the layer
    is a compression: none of the layer's own is larger than their maximum.

    Raises:
        TypeError: the layer is not a linear one known here.
    """
    raise TypeError(f"singular_values knows no {type(layer).__name__}")


@singular_values.register
def _(layer: OrthogonalLinear | nn.Linear, input_shape: Shape) -> Tensor:
    return gram_singular_values(layer.weight.detach().double())


@singular_values.register
def _(layer: BCOPConv2d, input_shape: Shape) -> Tensor:
    return _conv_singular_values(
        layer.weight, input_shape, layer.stride, layer.dilation, layer.groups, layer.padding_mode
    )


@singular_values.register
def _(layer: PaddedConv2d, input_shape: Shape) -> Tensor:
    conv = layer.conv
    return _conv_singular_values(
        conv.weight, input_shape, conv.stride[0], conv.dilation[0], conv.groups, layer.padding_mode
    )


def _conv_singular_values(
    weight: Tensor, input_shape: Shape, stride: int, dilation: int, groups: int, padding_mode: str
) -> Tensor:
    height, width = input_shape[-2:]
    if padding_mode == "zeros":  # no tap may wrap around onto a pixel of the image
        reach = dilation * (weight.shape[-1] - 1)
        height, width = (-(-(side + reach) // stride) * stride for side in (height, width))
    return gram_singular_values(transfer_function(weight, (height, width), stride, dilation, groups))


def transfer_function(weight: Tensor, size: tuple[int, int], stride: int, dilation: int, groups: int) -> Tensor:
    """The circular convolution on ``size`` pixels, block-diagonalised by the Fourier transform.

    Returns ``(groups, h/s * w/s, out, in·s²)`` complex128 matrices. A strided convolution is a pixel-unshuffle (an
    isometry) followed by a convolution of the ``s²`` phases of its kernel. Shifts by the padding only multiply by
    phases of modulus 1, so they are left out. Taps that wrap around a small image are added, as the layer does.
    """
    height, width = size
    weight = weight.detach().double().cpu().unflatten(0, (groups, -1))
    *_, rows, columns = weight.shape
    image = weight.new_zeros(*weight.shape[:-2], height, width)
    for row in range(rows):
        for column in range(columns):
            image[..., dilation * row % height, dilation * column % width] += weight[..., row, column]
    phases = nn.functional.pixel_unshuffle(image.flatten(0, 1), stride).unflatten(0, image.shape[:2])
    frequencies = torch.fft.fft2(phases)  # (groups, out, in·s², h/s, w/s)
    return frequencies.flatten(-2).movedim(-1, 1)


def gram_singular_values(matrices: Tensor) -> Tensor:
    """Singular values of ``(..., m, n)`` as the square roots of the small Gram matrix's eigenvalues, flattened.

    Exact enough for values near the largest one, to which an error of eps in the Gram matrix is one of eps / 2;
    values below 1e-8 of it are not resolved.
    """
    matrices = matrices.cpu()
    small = matrices if matrices.shape[-2] <= matrices.shape[-1] else matrices.mH
    return torch.linalg.eigvalsh(small @ small.mH).clamp_min(0).sqrt().flatten()
