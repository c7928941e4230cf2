"""From options to layers: what ``conv``, ``shuffle``, ``linear`` and ``activation`` stand for in a configuration."""

import functools
from collections.abc import Callable

from torch import nn

from lipnet.layers.centering import BatchCentering
from lipnet.options.config import Config
from lipnet.options.registry import load, taken
from lipnet.randomness import stream

Shape = tuple[int, ...]
Layer = Callable[..., nn.Module]


def convolution(config: Config, size: tuple[int, int], grouped: bool = True) -> Layer:
    """``(in_channels, out_channels, kernel_size, stride) -> layer`` for images of this height and width.

    Args:
        grouped: whether its channels fall into ``conv.groups``; those of an image do not.
    """
    make, keys = load("conv", config.conv.name), config.conv.own_keys()
    if "groups" in keys and not grouped:
        keys["groups"] = 1
    return functools.partial(make, **keys, **taken(make, image_size=size))


def shuffles(config: Config, channels: int, groups: int, index: int) -> list[nn.Module]:
    """The shuffle of this index; no module where there is none, so that names stay as they are.

    Each has random numbers of its own: whatever is chosen, the layers around it begin with the same weights.

    Args:
        groups: of the convolutions around it, which alone mix no channels of different groups.
    """
    option = config.shuffle
    if option.name == "none":
        return []
    generator = stream(config.seed, "shuffle", index)
    return [load("shuffle", option.name)(channels, groups=groups, generator=generator, **option.own_keys())]


def linear(config: Config) -> Layer:
    """``(in_features, out_features) -> layer``."""
    return functools.partial(load("linear", config.linear.name), **config.linear.own_keys())


def activations(config: Config, channels: int) -> list[nn.Module]:
    """What follows a layer with weights: with ``model.centering`` the means of batches are subtracted first."""
    centred = [BatchCentering(channels)] if getattr(config.model, "centering", False) else []
    return [*centred, activation(config, channels)]


def activation(config: Config, channels: int) -> nn.Module:
    """A new layer for so many channels, of axis 1."""
    make = load("activation", config.activation.name)
    layer: nn.Module = make(**config.activation.own_keys(), **taken(make, channels=channels))
    return layer
