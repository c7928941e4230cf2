"""Fully connected layers and convolutions: the spectral norm of the effective weight."""

from typing import Any

from torch import nn

from lipnet.certify.bound import Refusal, Shape, image_size, register_rule
from lipnet.certify.convolution import Geometry, conv_bound, geometry_of, geometry_of_transposed
from lipnet.certify.norm import norm_bound
from lipnet.certify.spectrum import DENSE_LAYERS
from lipnet.layers import BlockedConv2d, ConstrainedConv2d, PaddedConv2d
from lipnet.layers.constrained import Estimated
from lipnet.layers.convolutions.constrained import EstimatedConv2d


@register_rule(*DENSE_LAYERS)
def _dense(module: Any, shape: Shape) -> float:
    _refuse_estimates(module)
    if not shape:
        raise Refusal("it takes vectors, and an input of shape () has no axis but the batch's")
    return norm_bound(module.weight.detach().double().cpu())


@register_rule(
    BlockedConv2d, ConstrainedConv2d, EstimatedConv2d, PaddedConv2d, nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
def _convolution(module: Any, shape: Shape) -> float:
    _refuse_estimates(module)
    return conv_bound(module.weight, geometry(module, shape))


def _refuse_estimates(module: nn.Module) -> None:
    if isinstance(module, Estimated) and module.training:
        raise Refusal("in training mode its weight is divided by an estimate of its norm; call .eval() first")


def geometry(module: Any, shape: Shape) -> Geometry:
    """Of any convolution that has a rule; ``weight`` moves over it."""
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
