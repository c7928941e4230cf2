"""Laws on finitely many points."""

import torch
from torch import Tensor

from lipnet.certify.transport import assignment
from lipnet.data.images import generator
from lipnet.data.pairs.cones import distances
from lipnet.data.pairs.lines import gaussian
from lipnet.data.pairs.pair import Pair, Potential, Sampler, independent
from lipnet.data.pairs.rays import source_images
from lipnet.errors import UserError
from lipnet.schema import Discrete, TwoImages


def discrete(option: Discrete) -> Pair:
    """The uniform laws on two Gaussian clouds of ``atoms`` points: exact optimal transport, and its dual potential."""
    draw = gaussian(option.dimension)
    random = generator(option.seed, 7)
    first, second = draw(option.atoms, random), draw(option.atoms, random)
    cost = distances(first, second)
    partner = assignment(cost)
    return Pair(
        draw=independent(_atoms(first), _atoms(second)),
        true_value=float(cost[torch.arange(option.atoms), partner].mean()),
        potential=_dual_potential(cost, second, partner),
    )


def two_images(option: TwoImages) -> Pair:
    """Two images: the distance between them, with a linear potential.

    Raises:
        UserError: the images are the same, or there is none of that number.
    """
    images = source_images(option)[0]
    for key in ("first", "second"):
        if getattr(option, key) >= len(images):
            raise UserError(
                f"dataset.{key}={getattr(option, key)}: {option.source} has {len(images):,} training images, numbered "
                f"from 0 to {len(images) - 1}."
            )
    first, second = images[option.first], images[option.second]
    distance = float((first - second).norm())
    if not distance:
        raise UserError(
            f"dataset.first={option.first} and dataset.second={option.second} are the same image of {option.source}: "
            "the distance is 0 and no critic can be trained; give two different ones."
        )
    direction = ((first - second) / distance).flatten()
    return Pair(
        draw=independent(_atoms(first[None]), _atoms(second[None])),
        units="L2 distance between images with pixels in [0, 1]",
        true_value=distance,
        potential=lambda points: points.flatten(1) @ direction,
    )


def _atoms(points: Tensor) -> Sampler:
    return lambda count, random: points[torch.randint(len(points), (count,), generator=random)]


def _dual_potential(cost: Tensor, second: Tensor, partner: Tensor) -> Potential:
    """``f(x) = min_j (h_j + |x - y_j|)`` with the dual values h of the second law's points.

    ``h_i <= h_j + c_ij - c_ii`` (points numbered by their partners) is a shortest-path problem without negative
    cycles, because the assignment is optimal; Bellman and Ford solve it.
    """
    second = second[partner]
    length = cost[:, partner] - cost[:, partner].diagonal()[:, None]
    values = torch.zeros(len(second), dtype=torch.float64)
    for _ in range(len(second)):
        values = torch.minimum(values, (values + length).amin(1))
    return lambda points: (values + distances(points, second)).amin(1)
