"""A pointwise minimum, or maximum, of cones: the closed form of many an optimal critic."""

import math

from torch import nn

from lipnet.layers.blocks.cones import Cones
from lipnet.models.choices import Shape
from lipnet.options.config import Config
from lipnet.options.models import ConesModel
from lipnet.options.option import of_kind


def cones(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    """The one module of such a critic."""
    option = of_kind(config.model, ConesModel)
    return [Cones(math.prod(input_shape), option.cones, upward=option.apices == "second")]
