"""A law that is cut in two."""

import torch
from torch import Tensor

from lipnet.data.pairs.lines import gaussian, unit_vector
from lipnet.data.pairs.pair import Pair, independent
from lipnet.options.pairs import ShiftPair


def halves(option: ShiftPair) -> Pair:
    """A Gaussian whose halves moved apart, each by ``distance`` along ±v, and itself: the potential is ``|<v, x>|``."""
    direction = unit_vector(option.dimension, option.seed)
    base = gaussian(option.dimension)

    def apart(count: int, random: torch.Generator) -> Tensor:
        points = base(count, random)
        return points + option.distance * (points @ direction).sign()[:, None] * direction

    return Pair(
        draw=independent(apart, base),
        true_value=option.distance,
        potential=lambda points: (points @ direction).abs(),
    )
