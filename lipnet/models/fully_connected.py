"""Fully connected layers."""

import math
from itertools import pairwise

from torch import nn

from lipnet.layers.dense.unit_rows import UnitRowLinear
from lipnet.models.choices import Layer, Shape, activations, linear
from lipnet.options.config import Config
from lipnet.options.models import FullyConnected
from lipnet.options.option import of_kind


def fully_connected(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    """The modules of such a network for inputs of any shape, flattened."""
    option = of_kind(config.model, FullyConnected)
    widths = [math.prod(input_shape), *option.hidden, outputs]
    return [nn.Flatten(), *linear_stack(config, widths, option.head)]


def linear_stack(config: Config, widths: list[int], head: str) -> list[nn.Module]:
    """Layers between the widths, with an activation after all but the last; ``head`` says what that is."""
    make = linear(config)
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        modules += [make(inputs, outputs), *activations(config, outputs)]
    last: Layer = UnitRowLinear if head == "normalized" else make
    return [*modules, last(*widths[-2:])]
