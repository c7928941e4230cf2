"""The same function, made of plain torch modules."""

import copy
import functools

import torch
from torch import nn

from lipnet.certify.bound import nearest_type
from lipnet.certify.faithful import hooked, unfaithful, unreadable
from lipnet.certify.spectrum import LINEAR_LAYERS
from lipnet.layers import ConstrainedConv2d, PaddedConv2d
from lipnet.layers.constrained import Constrained, ConstrainedLinear


def to_plain(model: nn.Module) -> nn.Module:
    """A copy of ``model`` whose constrained layers are plain ``nn.Conv2d`` (behind a padding) and ``nn.Linear``.

    It computes the same outputs from the effective weights, frozen as they are now; training it would leave the
    constraint. Modules that are already plain are copied; none of the copies works in place.

    Raises:
        TypeError: a module may compute something else than its class does (a hook, an overridden method, ...), or is
            constrained in a way that has no plain form; the message names it.
    """
    for name, module in model.named_modules(prefix=type(model).__name__):
        reason = _obstacle(module)
        if reason is not None:
            raise TypeError(f"to_plain cannot convert {name} ({type(module).__name__}): {reason}")
    return _to_plain(model, {}).train(model.training)


def _to_plain(module: nn.Module, done: dict[nn.Module, nn.Module]) -> nn.Module:
    """Converts a module once, wherever and however often it is used."""
    if module not in done:
        plain = done[module] = _convert(module)
        if getattr(plain, "inplace", False) is True:
            plain.inplace = False  # type: ignore[assignment]
        for name, child in module._modules.items():
            if child is not None and name in plain._modules:
                plain._modules[name] = _to_plain(child, done)
    return done[module]


def _obstacle(module: nn.Module) -> str | None:
    """Why what ``_convert`` makes of the module may compute something else than the module."""
    if not isinstance(module, Constrained):
        return hooked(module) or unreadable(module, parts=False)
    kind = nearest_type(module, LINEAR_LAYERS)
    return "it is constrained, and no plain form of it is known" if kind is None else unfaithful(module, kind)


@functools.singledispatch
def _convert(layer: nn.Module) -> nn.Module:
    return copy.deepcopy(layer)


@_convert.register
@torch.no_grad()
def _(layer: ConstrainedLinear) -> nn.Module:
    weight = layer.weight
    outputs, inputs = weight.shape
    plain = nn.Linear(inputs, outputs, layer.bias is not None, device=weight.device, dtype=weight.dtype)
    plain.weight.copy_(weight)
    if layer.bias is not None:
        plain.bias.copy_(layer.bias)
    return plain


@_convert.register
@torch.no_grad()
def _(layer: ConstrainedConv2d) -> nn.Module:
    weight = layer.weight
    outputs, inputs, size, _ = weight.shape
    plain = PaddedConv2d(
        inputs * layer.groups, outputs, size, layer.stride, layer.dilation, layer.groups, layer.bias is not None,
        layer.padding_mode,
    )  # fmt: skip
    if plain.padding != layer.padding:
        raise TypeError(f"to_plain cannot convert {layer}: it pads by {layer.padding}, not by {plain.padding}")
    return plain.copy_from(weight, layer.bias)
