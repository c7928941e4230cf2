"""From options to layers: one constructor for each option of ``conv``, ``linear`` and ``activation``."""

import functools
from collections.abc import Callable
from typing import Any

from torch import nn

from lipnet.layers import (
    ORTHOGONALIZERS,
    Abs,
    BCOPConv2d,
    L2NEConv2d,
    MaxMin,
    OrthogonalLinear,
    OSSNConv2d,
    PaddedConv2d,
    RKOConv2d,
    SpectralLinear,
    SVCMConv2d,
    bjorck,
)  # fmt: skip
from lipnet.layers import GroupSort as GroupSortLayer
from lipnet.options.layers import BCOP, Iterated

Shape = tuple[int, ...]
Convolution = Callable[..., nn.Module]  # (in_channels, out_channels, kernel_size, stride) -> layer


def _orthogonalized(layer: type[BCOPConv2d | RKOConv2d], option: BCOP) -> Convolution:
    orthogonalize = ORTHOGONALIZERS[option.orthogonalizer]
    return functools.partial(layer, padding_mode=option.padding_mode, orthogonalize=orthogonalize)


def _frozen(convolution: Convolution) -> Convolution:
    return lambda *geometry: convolution(*geometry).requires_grad_(False)


def _bjorck(option: Iterated) -> Callable[..., nn.Module]:
    return functools.partial(OrthogonalLinear, orthogonalize=functools.partial(bjorck, iterations=option.iterations))


# (option, (height, width) of the inputs) -> constructor
CONVS: dict[str, Callable[[Any, tuple[int, int]], Convolution]] = {
    "bcop": lambda option, size: _orthogonalized(BCOPConv2d, option),
    "bcop_fixed": lambda option, size: _frozen(_orthogonalized(BCOPConv2d, option)),
    "rko": lambda option, size: _orthogonalized(RKOConv2d, option),
    "ossn": lambda option, size: functools.partial(
        OSSNConv2d, padding_mode=option.padding_mode, image_size=size, iterations=option.iterations
    ),
    "svcm": lambda option, size: functools.partial(
        SVCMConv2d, image_size=size, every=option.every, iterations=option.iterations
    ),
    "l2ne": lambda option, size: functools.partial(L2NEConv2d, padding_mode=option.padding_mode),
    "plain": lambda option, size: functools.partial(PaddedConv2d, padding_mode=option.padding_mode),
}


LINEARS: dict[str, Callable[..., Callable[..., nn.Module]]] = {
    "orthogonal": lambda option: OrthogonalLinear,
    "bjorck": _bjorck,
    "spectral": lambda option: functools.partial(SpectralLinear, iterations=option.iterations),
    "plain": lambda option: nn.Linear,
}


ACTIVATIONS: dict[str, Callable[[Any], nn.Module]] = {
    "maxmin": lambda option: MaxMin(),
    "groupsort": lambda option: GroupSortLayer(option.group_size),
    "relu": lambda option: nn.ReLU(),
    "abs": lambda option: Abs(),
    "identity": lambda option: nn.Identity(),
}
