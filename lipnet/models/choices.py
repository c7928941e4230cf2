"""From options to layers: what ``conv``, ``linear`` and ``activation`` stand for in a configuration."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from lipnet.layers import ORTHOGONALIZERS, BCOPConv2d, OrthogonalLinear, RKOConv2d, bjorck
from lipnet.options.config import Config
from lipnet.options.registry import load

Shape = tuple[int, ...]
Layer = Callable[..., nn.Module]


def convolution(config: Config, size: tuple[int, int]) -> Layer:
    """``(in_channels, out_channels, kernel_size, stride) -> layer`` for images of this height and width."""
    make = load("conv", config.conv.name)
    for_one_size = "image_size" in inspect.signature(make).parameters
    return functools.partial(make, **config.conv.own_keys(), **({"image_size": size} if for_one_size else {}))


def linear(config: Config) -> Layer:
    """``(in_features, out_features) -> layer``."""
    return functools.partial(load("linear", config.linear.name), **config.linear.own_keys())


def activation(config: Config) -> nn.Module:
    """A new layer."""
    layer: nn.Module = load("activation", config.activation.name)(**config.activation.own_keys())
    return layer


def bcop(inputs: int, outputs: int, size: int, stride: int, orthogonalizer: str, **keys: Any) -> nn.Module:
    """``BCOPConv2d`` by the name of its orthogonalizer."""
    return BCOPConv2d(inputs, outputs, size, stride, orthogonalize=ORTHOGONALIZERS[orthogonalizer], **keys)


def bcop_fixed(inputs: int, outputs: int, size: int, stride: int, **keys: Any) -> nn.Module:
    """``bcop`` with kernel and bias that are not trained."""
    return bcop(inputs, outputs, size, stride, **keys).requires_grad_(False)


def rko(inputs: int, outputs: int, size: int, stride: int, orthogonalizer: str, **keys: Any) -> nn.Module:
    """``RKOConv2d`` by the name of its orthogonalizer."""
    return RKOConv2d(inputs, outputs, size, stride, orthogonalize=ORTHOGONALIZERS[orthogonalizer], **keys)


def bjorck_linear(inputs: int, outputs: int, iterations: int) -> nn.Module:
    """``OrthogonalLinear`` by Björck's iterations."""
    return OrthogonalLinear(inputs, outputs, orthogonalize=functools.partial(bjorck, iterations=iterations))
