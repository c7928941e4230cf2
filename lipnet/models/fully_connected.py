"""Fully connected layers."""

import math
from itertools import pairwise

from torch import nn

from lipnet.layers import UnitRowLinear
from lipnet.models.choices import Layer, Shape, activation, linear
from lipnet.options.config import Config


def fully_connected(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    """The modules of such a network for inputs of any shape, flattened."""
    return [nn.Flatten(), *linear_stack(config, [math.prod(input_shape), *config.model.hidden, outputs])]


def linear_stack(config: Config, widths: list[int]) -> list[nn.Module]:
    """Layers between the widths, with an activation after all but the last, which is the head."""
    make = linear(config)
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        modules += [make(inputs, outputs), activation(config)]
    head: Layer = UnitRowLinear if config.model.head == "normalized" else make
    return [*modules, head(*widths[-2:])]
