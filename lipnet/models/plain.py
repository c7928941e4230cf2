"""The same function, made of plain torch modules."""

import copy
import functools

import torch
from torch import nn

from lipnet.layers import (
    BlockedLinear,
    ConstrainedConv2d,
    OrthogonalLinear,
    PaddedConv2d,
    SpectralLinear,
    UnitRowLinear,
)

_LONG = 512  # inputs of a fully connected layer beyond which its sums are taken in blocks, so that they round less


def to_plain(model: nn.Module) -> nn.Module:
    """A copy of ``model`` whose constrained layers are plain ``nn.Conv2d`` (behind a padding) and ``nn.Linear``.

    Fully connected ones with many inputs become ``BlockedLinear``, an ``nn.Linear`` that takes its sums in blocks.

    It computes the same outputs from the effective weights, frozen as they are now; training it would leave the
    constraint. Modules that are already plain are copied.
    """
    return _to_plain(model, {}).train(model.training)


def _to_plain(module: nn.Module, done: dict[nn.Module, nn.Module]) -> nn.Module:
    """Converts a module once, wherever and however often it is used."""
    if module not in done:
        plain = done[module] = _convert(module)
        for name, child in module._modules.items():
            if child is not None and name in plain._modules:
                plain._modules[name] = _to_plain(child, done)
    return done[module]


@functools.singledispatch
def _convert(layer: nn.Module) -> nn.Module:
    return copy.deepcopy(layer)


@_convert.register(OrthogonalLinear)
@_convert.register(SpectralLinear)
@_convert.register(UnitRowLinear)
@torch.no_grad()
def _(layer: OrthogonalLinear | SpectralLinear | UnitRowLinear) -> nn.Module:
    weight = layer.weight
    kind = BlockedLinear if layer.in_features > _LONG else nn.Linear
    plain = kind(
        layer.in_features, layer.out_features, layer.bias is not None, device=weight.device, dtype=weight.dtype
    )
    plain.weight.copy_(weight)
    if layer.bias is not None:
        plain.bias.copy_(layer.bias)
    return plain


@_convert.register
@torch.no_grad()
def _(layer: ConstrainedConv2d) -> nn.Module:
    plain = PaddedConv2d(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.dilation, layer.groups,
        layer.bias is not None, layer.padding_mode,
    )  # fmt: skip
    return plain.copy_from(layer.weight, layer.bias)
