"""From options to layers: what ``conv``, ``linear`` and ``activation`` stand for in a configuration."""

import functools
import inspect
from collections.abc import Callable

from torch import nn

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


def activation(config: Config, channels: int) -> nn.Module:
    """A new layer for so many channels, of axis 1."""
    make = load("activation", config.activation.name)
    for_some_channels = "channels" in inspect.signature(make).parameters
    layer: nn.Module = make(**config.activation.own_keys(), **({"channels": channels} if for_some_channels else {}))
    return layer
