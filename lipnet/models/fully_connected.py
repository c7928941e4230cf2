"""Fully connected layers."""

import math
from collections.abc import Callable
from itertools import pairwise

from torch import nn

from lipnet.layers import (
    UnitRowLinear,
)  # fmt: skip
from lipnet.models.choices import ACTIVATIONS, LINEARS, Shape
from lipnet.options.config import Config


def fully_connected(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    """The modules of such a network for inputs of any shape, flattened."""
    return [nn.Flatten(), *linear_stack(config, [math.prod(input_shape), *config.model.hidden, outputs])]


def linear_stack(config: Config, widths: list[int]) -> list[nn.Module]:
    """Layers between the widths, with an activation after all but the last, which is the head."""
    linear, activation = LINEARS[config.linear.name](config.linear), ACTIVATIONS[config.activation.name]
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        modules += [linear(inputs, outputs), activation(config.activation)]
    head: Callable[..., nn.Module] = UnitRowLinear if config.model.head == "normalized" else linear
    return [*modules, head(*widths[-2:])]
