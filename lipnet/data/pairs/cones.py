"""Distributions that differ by motions towards a centre; the optimal potential is a cone, or a minimum of cones."""

import math

import torch
from torch import Tensor

from lipnet.data.pairs.lines import gaussian
from lipnet.data.pairs.pair import Pair, Potential, Sampler, independent, pair_stream
from lipnet.options.pairs import ConePair, Nuisance, ScaledGaussians, Spheres


def cone(option: ConePair) -> Pair:
    """Uniform on a sphere, and its centre (Anil et al. 2019): distance its radius, potential ``|x|``."""
    origin = torch.zeros(1, option.dimension, dtype=torch.float64)
    return _around(origin, option.radius)


def three_cones(option: ConePair) -> Pair:
    """Three touching spheres, and their centres (Anil et al. 2019): the potential is the distance to the nearest."""
    return _around(_three_centres(option.dimension, option.radius), option.radius)


def nuisance(option: Nuisance) -> Pair:
    """``three_cones`` in a random plane, with the same Gaussian noise on both sides in all other directions.

    A common independent factor changes neither the distance nor the potential.
    """
    others = option.dimension - 2
    matrix = torch.randn(option.dimension, option.dimension, generator=pair_stream(option.seed), dtype=torch.float64)
    rotation = torch.linalg.qr(matrix).Q
    plane = _around(_three_centres(2, option.radius), option.radius)

    def draw(part: str, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        first, second = (
            torch.cat((signal, option.scale * gaussian(others)(count, random)), dim=1) @ rotation.mT
            for signal in plane.draw(part, count, random)
        )
        return first, second

    def potential(points: Tensor) -> Tensor:
        assert plane.potential is not None
        return plane.potential(points @ rotation[:, :2])

    return Pair(draw=draw, true_value=option.radius, potential=potential)


def spheres(option: Spheres) -> Pair:
    """Two concentric spheres: distance the difference of their radii, potential ``±|x|``."""
    first, second = option.radii
    sphere = uniform_sphere(option.dimension)
    return Pair(
        draw=independent(
            lambda count, random: first * sphere(count, random), lambda count, random: second * sphere(count, random)
        ),
        true_value=abs(first - second),
        potential=_norm(first > second),
    )


def scaled_gaussians(option: ScaledGaussians) -> Pair:
    """``N(0, s² I)`` and ``N(0, t² I)``: both radial, so the distance is that of the radii, ``|s - t| E|N(0, I)|``."""
    first, second = option.scales
    base = gaussian(option.dimension)
    mean_norm = math.sqrt(2) * math.exp(math.lgamma((option.dimension + 1) / 2) - math.lgamma(option.dimension / 2))
    return Pair(
        draw=independent(
            lambda count, random: first * base(count, random), lambda count, random: second * base(count, random)
        ),
        true_value=abs(first - second) * mean_norm,
        potential=_norm(first > second),
    )


def uniform_sphere(dimension: int) -> Sampler:
    """The uniform distribution on the unit sphere of ``dimension`` coordinates."""

    def draw(count: int, random: torch.Generator) -> Tensor:
        points = gaussian(dimension)(count, random)
        return points / points.norm(dim=1, keepdim=True)

    return draw


def _three_centres(dimension: int, radius: float) -> Tensor:
    centres = torch.zeros(3, dimension, dtype=torch.float64)
    centres[:, 0] = torch.tensor([-2.0, 0.0, 2.0]) * radius
    return centres


def _around(centres: Tensor, radius: float) -> Pair:
    """Spheres around centres at least two radii apart, and the centres: no mass can do better than move to its own."""
    sphere = uniform_sphere(centres.shape[1])

    def second(count: int, random: torch.Generator) -> Tensor:
        return centres[torch.randint(len(centres), (count,), generator=random)]

    return Pair(
        draw=independent(lambda count, random: second(count, random) + radius * sphere(count, random), second),
        true_value=radius,
        potential=lambda points: distances(points, centres).amin(1),
    )


def _norm(outward: bool) -> Potential:
    return lambda points: points.norm(dim=1) if outward else -points.norm(dim=1)


def distances(points: Tensor, centres: Tensor) -> Tensor:
    """L2 distances ``(points, centres)``, exact also where they are small."""
    return torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist")
