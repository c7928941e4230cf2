"""Distributions on finitely many points."""

import torch
from torch import Tensor

from lipnet.data.pairs.cones import distances
from lipnet.data.pairs.lines import gaussian
from lipnet.data.pairs.pair import Pair, Potential, Sampler, independent, pair_stream
from lipnet.data.pairs.rays import source_files, source_images
from lipnet.data.transport import assignment, cost_matrix
from lipnet.errors import UserError
from lipnet.options.facts import image_facts
from lipnet.options.pairs import Discrete, TwoClasses, TwoImages


def discrete(option: Discrete) -> Pair:
    """Uniform on each of two Gaussian clouds of ``atoms`` points: exact optimal transport, and its dual potential."""
    draw = gaussian(option.dimension)
    random = pair_stream(option.seed)
    return _between_atoms(draw(option.atoms, random), draw(option.atoms, random), Pair.units)


def two_classes(option: TwoClasses) -> Pair:
    """Uniform on ``atoms`` training images of either class: exact optimal transport, and its dual potential.

    A critic may see every image in training: the truth is the distance between these two sets, not between the classes,
    and what it falls short of that is the critic's error alone.

    Raises:
        UserError: there is no such class, or it has too few images.
    """
    train = source_files(option)[0]
    classes, random = image_facts(option.source)[1], pair_stream(option.seed)
    sides = []
    for number in option.classes:
        if number >= classes:
            raise UserError(f"dataset.classes={option.classes}: {option.source} has classes 0 to {classes - 1}.")
        rows = (train.labels == number).nonzero()[:, 0]
        if len(rows) < option.atoms:
            raise UserError(
                f"dataset.atoms={option.atoms}: {option.source} has {len(rows):,} training images of class {number}; "
                "use fewer."
            )
        chosen = rows[torch.randperm(len(rows), generator=random)[: option.atoms]]
        sides.append(train.images[chosen].double() / train.maximum)
    first, second = sides
    return _between_atoms(first, second, units="L2 distance between images with pixels in [0, 1]")


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


def _between_atoms(first: Tensor, second: Tensor, units: str) -> Pair:
    """The uniform distributions on equally many points."""
    cost = cost_matrix(first, second)
    partner = assignment(cost)
    samples = independent(_atoms(first), _atoms(second))

    def draw(part: str, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        if part != "training" or count > len(first):
            return samples(part, count, random)
        return _some(first, count, random), _some(second, count, random)

    return Pair(
        draw=draw,
        units=units,
        true_value=float(cost[torch.arange(len(cost)), partner].mean()),
        potential=_dual_potential(cost, second.flatten(1), partner),
    )


def _some(points: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Different points, in random order: batches vary less than with repetitions, and have the same mean."""
    return points[torch.randperm(len(points), generator=random)[:count]]


def _atoms(points: Tensor) -> Sampler:
    return lambda count, random: points[torch.randint(len(points), (count,), generator=random)]


def _dual_potential(cost: Tensor, second: Tensor, partner: Tensor) -> Potential:
    """``f(x) = min_j (h_j + |x - y_j|)`` with the dual values h of the second distribution's points.

    ``h_i <= h_j + c_ij - c_ii`` (points numbered by their partners) is a shortest-path problem without negative
    cycles, because the assignment is optimal; Bellman and Ford solve it.
    """
    second = second[partner]
    length = cost[:, partner] - cost[:, partner].diagonal()[:, None]
    values = torch.zeros(len(second), dtype=torch.float64)
    for _ in range(len(second)):
        values, before = torch.minimum(values, (values + length).amin(1)), values
        if torch.equal(values, before):
            break
    return lambda points: (values + distances(points.flatten(1), second)).amin(1)
