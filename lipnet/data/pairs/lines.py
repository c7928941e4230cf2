"""Distributions that differ by a motion along one direction; the optimal potential is a function of that coordinate."""

import torch
from torch import Tensor

from lipnet.data.pairs.pair import Pair, Sampler, independent, pair_stream
from lipnet.options.pairs import PartialMass, ShiftPair


def absolute_value(option: ShiftPair) -> Pair:
    """Two points at ``±v`` against the origin (Anil et al. 2019): the potential ``|<v, x>| / |v|`` has a fold."""
    direction = unit_vector(option.dimension, option.seed)

    def first(count: int, random: torch.Generator) -> Tensor:
        signs = 2.0 * torch.randint(2, (count, 1), generator=random) - 1
        return option.distance * signs * direction

    return Pair(
        draw=independent(first, lambda count, random: torch.zeros(count, option.dimension, dtype=torch.float64)),
        true_value=option.distance,
        potential=lambda points: (points @ direction).abs(),
    )


def translation(option: ShiftPair) -> Pair:
    """A standard Gaussian moved by v, and itself: distance ``|v|``, potential ``<v, x> / |v|``."""
    direction = unit_vector(option.dimension, option.seed)
    base = gaussian(option.dimension)
    return Pair(
        draw=independent(lambda count, random: base(count, random) + option.distance * direction, base),
        true_value=option.distance,
        potential=lambda points: points @ direction,
    )


def partial_mass(option: PartialMass) -> Pair:
    """A mixture of two Gaussian clusters, of which one moves by v: distance ``fraction * |v|``, potential linear."""
    direction = unit_vector(option.dimension, option.seed)
    centre = 4 * unit_vector(option.dimension, option.seed + 1)

    def sampler(shift: float) -> Sampler:
        def draw(count: int, random: torch.Generator) -> Tensor:
            moves = torch.rand(count, 1, generator=random) < option.fraction
            return gaussian(option.dimension)(count, random) + moves * (centre + shift * direction)

        return draw

    return Pair(
        draw=independent(sampler(option.distance), sampler(0.0)),
        true_value=option.fraction * option.distance,
        potential=lambda points: points @ direction,
    )


def gaussian(dimension: int) -> Sampler:
    """The standard Gaussian distribution."""
    return lambda count, random: torch.randn(count, dimension, generator=random, dtype=torch.float64)


def unit_vector(dimension: int, seed: int) -> Tensor:
    """A random direction, float64 ``(dimension,)``."""
    vector = torch.randn(dimension, generator=pair_stream(seed), dtype=torch.float64)
    return vector / vector.norm()
