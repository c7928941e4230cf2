"""The same function, made of plain torch modules."""

import copy
import functools

import torch
from torch import nn

from lipnet.layers import BCOPConv2d, OrthogonalLinear, PaddedConv2d


def to_plain(model: nn.Module) -> nn.Module:
    """A copy of ``model`` whose constrained layers are plain ``nn.Conv2d`` (behind a padding) and ``nn.Linear``.

    It computes the same outputs from the effective weights, frozen as they are now; training it would leave the
    constraint. Modules that are already plain are copied.
    """
    plain = _convert(model)
    for name, child in plain.named_children():
        setattr(plain, name, to_plain(child))
    return plain.train(model.training)


@functools.singledispatch
def _convert(layer: nn.Module) -> nn.Module:
    return copy.deepcopy(layer)


@_convert.register
@torch.no_grad()
def _(layer: OrthogonalLinear) -> nn.Module:
    weight = layer.weight
    plain = nn.Linear(
        layer.in_features, layer.out_features, layer.bias is not None, device=weight.device, dtype=weight.dtype
    )
    plain.weight.copy_(weight)
    if layer.bias is not None:
        plain.bias.copy_(layer.bias)
    return plain


@_convert.register
@torch.no_grad()
def _(layer: BCOPConv2d) -> nn.Module:
    plain = PaddedConv2d(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.dilation, layer.groups,
        layer.bias is not None, layer.padding_mode,
    )  # fmt: skip
    return plain.copy_from(layer.weight, layer.bias)
