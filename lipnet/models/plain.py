"""The same function, made of plain torch modules."""

import copy
import functools

import torch
from torch import nn

from lipnet.layers import (
    BlockedConv2d,
    BlockedLinear,
    ConstrainedConv2d,
    OrthogonalLinear,
    PaddedConv2d,
    SpectralLinear,
    UnitRowLinear,
)

_LONG = 256  # terms beyond which sums are taken in blocks, so that float32 rounds them less
_BLOCK = 128  # terms in each of a convolution's blocks; shorter ones cost too much time


def to_plain(model: nn.Module, blocked: bool = True) -> nn.Module:
    """A copy of ``model`` whose constrained layers are plain ``nn.Conv2d`` (behind a padding) and ``nn.Linear``.

    It computes the same outputs from the effective weights, frozen as they are now; training it would leave the
    constraint. Modules that are already plain are copied.

    Args:
        blocked: layers of long sums become ``BlockedLinear`` and ``BlockedConv2d``, which take them in blocks: in
            float32 they round a tenth as much, which is what certificates of float32 networks gain by, and take up to
            three times the time. In float64 they are the same.
    """
    return _to_plain(model, {}, blocked).train(model.training)


def _to_plain(module: nn.Module, done: dict[nn.Module, nn.Module], blocked: bool) -> nn.Module:
    """Converts a module once, wherever and however often it is used."""
    if module not in done:
        plain = done[module] = _convert(module, blocked)
        for name, child in module._modules.items():
            if child is not None and name in plain._modules:
                plain._modules[name] = _to_plain(child, done, blocked)
    return done[module]


@functools.singledispatch
def _convert(layer: nn.Module, blocked: bool) -> nn.Module:
    return copy.deepcopy(layer)


@_convert.register(OrthogonalLinear)
@_convert.register(SpectralLinear)
@_convert.register(UnitRowLinear)
@torch.no_grad()
def _(layer: OrthogonalLinear | SpectralLinear | UnitRowLinear, blocked: bool) -> nn.Module:
    weight = layer.weight
    kind = BlockedLinear if blocked and layer.in_features > _LONG else nn.Linear
    plain = kind(
        layer.in_features, layer.out_features, layer.bias is not None, device=weight.device, dtype=weight.dtype
    )
    plain.weight.copy_(weight)
    if layer.bias is not None:
        plain.bias.copy_(layer.bias)
    return plain


@_convert.register
@torch.no_grad()
def _(layer: ConstrainedConv2d, blocked: bool) -> nn.Module:
    plain: PaddedConv2d
    bias, taps = layer.bias is not None, layer.kernel_size**2
    sizes = layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.dilation
    if blocked and layer.groups == 1 and layer.in_channels * taps > _LONG:
        plain = BlockedConv2d(*sizes, bias, layer.padding_mode, max(1, _BLOCK // taps))
    else:
        plain = PaddedConv2d(*sizes, layer.groups, bias, layer.padding_mode)
    return plain.copy_from(layer.weight, layer.bias)
