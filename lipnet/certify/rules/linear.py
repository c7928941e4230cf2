"""Fully connected layers and convolutions: the spectral norm of the effective weight, and sums of products.

An inner product of n terms is off by at most ``γ_n`` times that of absolute values.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.bound import Refusal, Shape, image_size, output_shape, register_rule
from lipnet.certify.convolution import Geometry, bias_norm, conv_bound, conv_gain, geometry_of, geometry_of_transposed
from lipnet.certify.norm import nonnegative_norm_bound, norm_bound
from lipnet.certify.rounding import Step, products_step, register_step
from lipnet.certify.rules.exponential import EXPONENTIALS
from lipnet.certify.spectrum import register_operator
from lipnet.layers.blocked import BlockedConv2d, BlockedLinear
from lipnet.layers.constrained import Estimated
from lipnet.layers.convolutions.constrained import ConstrainedConv2d, EstimatedConv2d, SizedConv2d
from lipnet.layers.convolutions.fourier import FourierConv2d
from lipnet.layers.convolutions.padded import PaddedConv2d
from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.layers.dense.orthogonal import OrthogonalLinear
from lipnet.layers.dense.spectral import SpectralLinear
from lipnet.layers.frequency import conv_operator

# Each with a ``forward`` of its own; the subclasses of one differ in how they build their weight.
DENSE_LAYERS = (ConstrainedLinear, OrthogonalLinear, SpectralLinear, BlockedLinear, nn.Linear)
CONSTRAINED_CONVOLUTIONS = (ConstrainedConv2d, SizedConv2d, EstimatedConv2d, FourierConv2d)
PADDED_CONVOLUTIONS = (PaddedConv2d, BlockedConv2d)
LINEAR_LAYERS = (*CONSTRAINED_CONVOLUTIONS, *PADDED_CONVOLUTIONS, *EXPONENTIALS, *DENSE_LAYERS)


@register_rule(*DENSE_LAYERS)
def _dense(module: Any, shape: Shape) -> float:
    _refuse_estimates(module)
    if not shape:
        raise Refusal("it takes vectors, and an input of shape () has no axis but the batch's")
    return norm_bound(module.weight.detach().double().cpu())


@register_step(*DENSE_LAYERS)
def _dense_step(module: Any, shape: Shape, precision: torch.finfo) -> Step:
    gain = nonnegative_norm_bound(module.weight.detach().double().cpu().abs())
    return _inner_products(module, gain, shape, precision)


@register_operator(*DENSE_LAYERS)
def _dense_operator(layer: Any, input_shape: Shape) -> Tensor:
    return layer.weight.detach().double().cpu()


@register_rule(
    *CONSTRAINED_CONVOLUTIONS, *PADDED_CONVOLUTIONS, nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
def _convolution(module: Any, shape: Shape) -> float:
    _refuse_estimates(module)
    return conv_bound(module.weight, geometry(module, shape))


@register_step(*CONSTRAINED_CONVOLUTIONS, *PADDED_CONVOLUTIONS, nn.Conv1d, nn.Conv2d, nn.Conv3d)
def _convolution_step(module: Any, shape: Shape, precision: torch.finfo) -> Step:
    return _inner_products(module, conv_gain(module.weight, geometry(module, shape)), shape, precision)


@register_step(FourierConv2d)
def _transformed_step(module: FourierConv2d, shape: Shape, precision: torch.finfo) -> Step:
    raise TypeError(
        f"it is not known how {type(module).__name__} rounds: it convolves by a Fourier transform; use to_plain, which "
        "makes a plain convolution of it"
    )


@register_operator(*CONSTRAINED_CONVOLUTIONS)
def _constrained_operator(layer: ConstrainedConv2d, input_shape: Shape) -> Tensor:
    return _conv_operator(layer.weight, input_shape, layer.stride, layer.dilation, layer.groups, layer.padding_mode)


@register_operator(*PADDED_CONVOLUTIONS)
def _padded_operator(layer: PaddedConv2d, input_shape: Shape) -> Tensor:
    conv = layer.conv
    return _conv_operator(conv.weight, input_shape, conv.stride[0], conv.dilation[0], conv.groups, layer.padding_mode)


def _conv_operator(
    weight: Tensor, input_shape: Shape, stride: int, dilation: int, groups: int, padding_mode: str
) -> Tensor:
    height, width = input_shape[-2:]
    return conv_operator(weight.detach().double().cpu(), (height, width), stride, dilation, groups, padding_mode)


def _inner_products(module: Any, gain: float, shape: Shape, precision: torch.finfo) -> Step:
    weight, entries = module.weight, math.prod(output_shape(module, shape))
    blocked = isinstance(module, BlockedConv2d | BlockedLinear)
    terms = sum(module.stages(getattr(torch, precision.dtype))) if blocked else weight[0].numel()
    return products_step(terms, gain, bias_norm(module, entries // len(weight)), entries, precision)


def _refuse_estimates(module: nn.Module) -> None:
    if isinstance(module, Estimated) and module.training:
        raise Refusal("in training mode its weight is divided by an estimate of its norm; call .eval() first")


def geometry(module: Any, shape: Shape) -> Geometry:
    """How the kernel of a convolution with a rule moves over images of a shape."""
    size = image_size(shape, module.weight.dim() - 2)
    if module.padding_mode not in ("zeros", "circular"):
        raise Refusal(
            f"there is no proof for padding_mode={module.padding_mode!r}, which repeats some pixels; use 'zeros' or "
            "'circular'"
        )
    if isinstance(module, PaddedConv2d):
        conv, circular = module.conv, module.padding_mode == "circular"
        stride, dilation = (conv.stride[0],) * 2, (conv.dilation[0],) * 2  # as its forward does
        return Geometry(size, stride, dilation, (module.padding,) * 2, conv.groups, circular)
    if isinstance(module, ConstrainedConv2d):
        stride, dilation, circular = (module.stride,) * 2, (module.dilation,) * 2, module.padding_mode == "circular"
        return Geometry(size, stride, dilation, (module.padding,) * 2, module.groups, circular)
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        return geometry_of_transposed(module, size)
    return geometry_of(module, size)
