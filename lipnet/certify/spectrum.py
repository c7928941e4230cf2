"""Linear layers as matrices, in float64, from their effective weights; their singular values."""

import functools

import torch
from torch import Tensor, nn

from lipnet.certify.faithful import unfaithful
from lipnet.certify.norm import small_gram
from lipnet.layers import (
    BlockedConv2d,
    BlockedLinear,
    ConstrainedConv2d,
    OrthogonalLinear,
    PaddedConv2d,
    SpectralLinear,
)
from lipnet.layers.convolutions.constrained import EstimatedConv2d
from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.layers.frequency import conv_operator

Shape = tuple[int, ...]
# Each with a ``forward`` of its own; the subclasses of one differ in how they build their weight.
DENSE_LAYERS = (ConstrainedLinear, OrthogonalLinear, SpectralLinear, BlockedLinear, nn.Linear)
LINEAR_LAYERS = (ConstrainedConv2d, EstimatedConv2d, BlockedConv2d, PaddedConv2d, *DENSE_LAYERS)


def singular_values(layer: nn.Module, input_shape: Shape) -> Tensor:
    """All singular values of a layer as a linear map on inputs of ``input_shape`` (no batch axis), float64.

    The square roots of the Gram matrix's eigenvalues: exact to a few eps near the largest one; values below 1e-8 of it
    are not resolved. For a zero-padded convolution they are those of the circular convolution on the padded size, of
    which the layer is a compression: none of the layer's own is larger than their maximum.

    Raises:
        TypeError: the layer is not a linear one known here, or computes something else than its class does.
    """
    kind = next((ancestor for ancestor in type(layer).__mro__ if ancestor in LINEAR_LAYERS), None)
    reason = unfaithful(layer, kind) if kind is not None else None
    if reason is not None:
        raise TypeError(f"no singular values of {type(layer).__name__}: {reason}")
    with torch.no_grad():
        gram = small_gram(linear_operator(layer, input_shape))
        return torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().flatten()


@functools.singledispatch
def linear_operator(layer: nn.Module, input_shape: Shape) -> Tensor:
    """A layer's linear map as one matrix, or as the blocks ``(..., m, n)`` of an orthogonal block-diagonalisation."""
    raise TypeError(f"{type(layer).__name__} is not a linear layer known here")


@linear_operator.register(ConstrainedLinear)
@linear_operator.register(nn.Linear)
def _(layer: ConstrainedLinear | nn.Linear, input_shape: Shape) -> Tensor:
    return layer.weight.detach().double().cpu()


@linear_operator.register
def _(layer: ConstrainedConv2d, input_shape: Shape) -> Tensor:
    return _conv_operator(layer.weight, input_shape, layer.stride, layer.dilation, layer.groups, layer.padding_mode)


@linear_operator.register
def _(layer: PaddedConv2d, input_shape: Shape) -> Tensor:
    conv = layer.conv
    return _conv_operator(conv.weight, input_shape, conv.stride[0], conv.dilation[0], conv.groups, layer.padding_mode)


def _conv_operator(
    weight: Tensor, input_shape: Shape, stride: int, dilation: int, groups: int, padding_mode: str
) -> Tensor:
    height, width = input_shape[-2:]
    return conv_operator(weight.detach().double().cpu(), (height, width), stride, dilation, groups, padding_mode)
