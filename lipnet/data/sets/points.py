"""Labelled points of the square [-1, 1]², generated: the area classification of Aziznejad et al. 2020 (2001.06263).

A coordinate is stored as an integer that stands for a part of the square's side, as a pixel's value does: images in
[0, 1] are the square, attacks stay in it, and radii are parts of its side.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lipnet.data.images import Split
from lipnet.randomness import stream

MAXIMUM = 2**20  # a power of two: coordinates are exact in float32
SIDE = 201  # test points along a side, a hundredth of [-1, 1] apart


def _in_circle(points: Tensor) -> Tensor:
    """Half of the square's area."""
    return points.square().sum(1) < 2 / math.pi


def _in_s_shape(points: Tensor) -> Tensor:
    """A band of width 0.6 along a wave, cut off above and below."""
    x, y = points.unbind(1)
    return ((x - 0.4 * torch.sin(-5 * y)).abs() < 0.3) & (y.abs() < 0.8)


# Name of the set -> which points (n, 2) of [-1, 1]² have label 1.
AREAS: dict[str, Callable[[Tensor], Tensor]] = {"circle": _in_circle, "s_shape": _in_s_shape}


def circle(config: Any, seed: int) -> tuple[Split, Split]:
    """Whether a point lies in a circle that has half of the area."""
    return _drawn("circle", config.points, seed), _mixed("circle")


def s_shape(config: Any, seed: int) -> tuple[Split, Split]:
    """Whether a point lies in a winding band."""
    return _drawn("s_shape", config.points, seed), _mixed("s_shape")


def grid(name: str) -> Split:
    """The points of a regular grid on the square, from below row by row, with their labels."""
    numbers = (torch.arange(SIDE, dtype=torch.float64) * (MAXIMUM / (SIDE - 1))).round().int()
    return _labelled(name, torch.cartesian_prod(numbers, numbers).flip(1))


def on_square(split: Split) -> Tensor:
    """A split's points on [-1, 1]², float64."""
    return 2 * split.images[:].double() / split.maximum - 1


def _mixed(name: str) -> Split:
    """The grid in an order that is always the same: of its first points, as attacks take them, none is special."""
    points = grid(name)
    return points.take(torch.randperm(len(points), generator=stream(0, "test points")))


def _drawn(name: str, count: int, seed: int) -> Split:
    random = stream(seed, "training points", name)
    return _labelled(name, torch.randint(MAXIMUM + 1, (count, 2), generator=random, dtype=torch.int32))


def _labelled(name: str, stored: Tensor) -> Split:
    """Labels are those of the points as they are stored."""
    unlabelled = Split(stored, torch.zeros(len(stored), dtype=torch.int64), MAXIMUM, torch.arange(len(stored)))
    return Split(stored, AREAS[name](on_square(unlabelled)).long(), MAXIMUM, unlabelled.indices)
