"""The same function, made of plain torch modules."""

import copy
import functools
from typing import Any

import torch
from torch import nn

from lipnet.certify.bound import nearest_type
from lipnet.certify.faithful import hooked, unfaithful, unreadable
from lipnet.certify.rules.linear import LINEAR_LAYERS
from lipnet.layers.activations.spline import LinearSpline
from lipnet.layers.blocked import BlockedConv2d, BlockedLinear
from lipnet.layers.blocks.convex_potential import ConvexPotential
from lipnet.layers.blocks.sandwich import Sandwich
from lipnet.layers.constrained import Constrained
from lipnet.layers.convolutions.aoc_transposed import AOCConvTranspose2d
from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.convolutions.padded import PaddedConv2d
from lipnet.layers.convolutions.soc import SkewExponential, SOCConv2d
from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.layers.learned_shuffle import LearnedShuffle
from lipnet.layers.training import has_soft_layers, is_soft

_LONG = 256  # terms beyond which sums are taken in blocks, so that float32 rounds them less
_BLOCK = 128  # terms in each of a convolution's blocks; shorter ones cost too much time


_WHOLE = (AOCConvTranspose2d, ConvexPotential, LearnedShuffle, LinearSpline, Sandwich)  # converted with their parts


def to_plain(model: nn.Module, blocked: bool = True) -> nn.Module:
    """A copy of ``model`` whose constrained layers are plain ``nn.Conv2d`` (behind a padding) and ``nn.Linear``.

    It computes the same outputs from the effective weights, frozen as they are now; training it would leave the
    constraint. Modules that are already plain are copied; none of the copies works in place. A layer with a method
    ``hardened`` is replaced by what that returns.

    Args:
        blocked: layers of long sums become ``BlockedLinear`` and ``BlockedConv2d``, which take them in blocks: in
            float32 they round a tenth as much, which is what certificates of float32 networks gain by, and take up to
            three times the time. In float64 they are the same.

    Raises:
        TypeError: a module may compute something else than its class does (a hook, an overridden method, ...), or is
            constrained in a way that has no plain form; the message names it.
    """
    _refuse_obstacles(model)
    return _to_plain(model, {}, blocked).train(model.training)


def hardened(model: nn.Module) -> nn.Module:
    """The network that would be deployed: the model itself, or where a layer of it is soft a plain copy."""
    return to_plain(model, blocked=False) if has_soft_layers(model) else model


def _refuse_obstacles(model: nn.Module) -> None:
    for name, module in model.named_modules(prefix=type(model).__name__):
        reason = _obstacle(module)
        if reason is not None:
            raise TypeError(f"to_plain cannot convert {name} ({type(module).__name__}): {reason}")


def _to_plain(module: nn.Module, done: dict[nn.Module, nn.Module], blocked: bool) -> nn.Module:
    """Converts a module once, wherever and however often it is used."""
    if module not in done and is_soft(module):
        done[module] = _to_plain(_hard(module), done, blocked)
    if module not in done:
        try:
            plain = done[module] = _convert(module, blocked)
        except (ArithmeticError, LookupError, AttributeError) as error:  # of what it was set to after it was built
            raise TypeError(
                f"to_plain cannot convert {module}: it has no weight as it is set up ({type(error).__name__}: {error})"
            ) from error
        changed = unfaithful(plain, type(plain)) if isinstance(module, Constrained) else None
        if changed is not None:  # what it is now made of may have been patched, and it was not made of that before
            raise TypeError(f"to_plain cannot convert {module} to {type(plain).__name__}: {changed}")
        if getattr(plain, "inplace", False) is True:
            plain.inplace = False  # type: ignore[assignment]
        for name, child in module._modules.items():
            if child is not None and name in plain._modules:
                plain._modules[name] = _to_plain(child, done, blocked)
    return done[module]


@torch.no_grad()
def _hard(module: Any) -> nn.Module:
    """What a soft layer is deployed as."""
    hard: nn.Module = module.hardened()
    if has_soft_layers(hard):
        raise TypeError(f"to_plain cannot convert {module}: what it hardens to is soft itself ({hard})")
    _refuse_obstacles(hard)
    return hard


def _obstacle(module: nn.Module) -> str | None:
    """Why what ``_convert`` makes of the module may compute something else than the module."""
    whole = nearest_type(module, _WHOLE)
    if whole is not None:
        return unfaithful(module, whole)
    if not isinstance(module, Constrained):
        return hooked(module) or unreadable(module, parts=False)
    kind = nearest_type(module, LINEAR_LAYERS)
    return "it is constrained, and no plain form of it is known" if kind is None else unfaithful(module, kind)


@functools.singledispatch
def _convert(layer: nn.Module, blocked: bool) -> nn.Module:
    return copy.deepcopy(layer)


@_convert.register
def _(layer: LinearSpline, blocked: bool) -> nn.Module:
    return layer.fixed()


@_convert.register
def _(layer: AOCConvTranspose2d, blocked: bool) -> nn.Module:
    return nn.Sequential(*layer)  # which are converted in their turn


@_convert.register
def _(layer: ConvexPotential, blocked: bool) -> nn.Module:
    return layer.plain()


@_convert.register
def _(layer: Sandwich, blocked: bool) -> nn.Module:
    return layer.plain()


@_convert.register
@torch.no_grad()
def _(layer: ConstrainedLinear, blocked: bool) -> nn.Module:
    weight = layer.weight
    outputs, inputs = weight.shape
    kind = BlockedLinear if blocked and inputs > _LONG else nn.Linear
    plain = kind(inputs, outputs, layer.bias is not None, device=weight.device, dtype=weight.dtype)
    plain.weight.copy_(weight)
    if layer.bias is not None:
        plain.bias.copy_(layer.bias)
    return plain


@_convert.register
def _(layer: SOCConv2d, blocked: bool) -> nn.Module:
    return SkewExponential(
        layer.in_channels, layer.out_channels, layer.weight, layer.bias, layer.terms, layer.stride, layer.padding_mode
    )


@_convert.register
@torch.no_grad()
def _(layer: ConstrainedConv2d, blocked: bool) -> nn.Module:
    weight = layer.weight
    outputs, inputs, size, _ = weight.shape
    sizes = inputs * layer.groups, outputs, size, layer.stride, layer.dilation
    bias, taps = layer.bias is not None, size**2
    plain: PaddedConv2d
    if blocked and layer.groups == 1 and inputs * taps > _LONG:
        plain = BlockedConv2d(*sizes, bias, layer.padding_mode, max(1, _BLOCK // taps))
    else:
        plain = PaddedConv2d(*sizes, layer.groups, bias, layer.padding_mode)
    if plain.padding != layer.padding:
        raise TypeError(f"to_plain cannot convert {layer}: it pads by {layer.padding}, not by {plain.padding}")
    return plain.copy_from(weight, layer.bias)
