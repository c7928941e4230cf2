"""The toy set-ups of Yang et al. 2019 (1905.06287), and the constraint on signs of Yang et al. 2020 (2010.10969).

Their examples are the same for every run: what they are is in the papers, and what is drawn is drawn once and for all.
"""

import math

import torch
from torch import Tensor

from lipnet.data.problems.problem import Problem, column, held_out_numbers, without_held_out
from lipnet.options.posteriors import Classification, Regression
from lipnet.randomness import stream

_HELD_OUT = 200
_BLOBS = ((0.0, -3.0), (-3.0, 1.0), (2.0, 3.0))
_EACH, _WIDTH = 8, 0.5  # examples of a blob, and their standard deviation


def quartic(option: Regression) -> Problem:
    """Set-up 1: ``-x⁴ + 3x² + 1`` at six places, none of them near 0."""
    x = column(-2.0, -1.8, -1.0, 1.0, 1.8, 2.0)
    random = held_out_numbers("quartic")
    sides = 1 + torch.rand(_HELD_OUT, 1, generator=random, dtype=torch.float64)
    away = torch.where(torch.arange(_HELD_OUT)[:, None] % 2 == 0, sides, -sides)
    return Problem(x, _quartic(x), (away, _noisy(_quartic(away), option, random)), _range(-5, 5))


def _quartic(x: Tensor) -> Tensor:
    return (-(x**4) + 3 * x**2 + 1)[:, 0]


def three_blobs(option: Classification) -> Problem:
    """Set-up 2: eight points of each of three classes."""
    inputs, targets = _blobs(_EACH, stream(0, "examples", "three_blobs"))
    held_out = _blobs(_HELD_OUT // 3, held_out_numbers("three_blobs"))
    return Problem(inputs, targets, held_out, _range(-5, 5).expand(2, 2))


def _blobs(count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    centres = torch.tensor(_BLOBS, dtype=torch.float64).repeat_interleave(count, dim=0)
    noise = torch.randn(len(centres), 2, generator=random, dtype=torch.float64)
    return centres + _WIDTH * noise, torch.arange(len(_BLOBS)).repeat_interleave(count)


def two_lines(option: Regression) -> Problem:
    """Set-up 3: three points in the middle."""
    targets = torch.tensor([6.0, 10.0, 6.0], dtype=torch.float64)
    return without_held_out(column(-1.5, 0.0, 1.0), targets, _range(-5, 5))


def forbidden_box(option: Regression) -> Problem:
    """Set-up 4: three points on either side of a box, through which a straight way would lead."""
    targets = torch.tensor([-5.0, -4.0, -4.0, -5.0], dtype=torch.float64)
    return without_held_out(column(-3.0, -2.0, 2.0, 3.0), targets, _range(-5, 5))


def tunnel(option: Regression) -> Problem:
    """Set-up 5: three points within the tunnel."""
    targets = torch.tensor([7.0, 4.0, 7.0], dtype=torch.float64)
    return without_held_out(column(-3.0, 0.0, 3.0), targets, _range(-5, 5))


def two_cubics(option: Regression) -> Problem:
    """Set-up 6: a point on either side, from which both cubics can be reached."""
    return without_held_out(column(-2.0, 2.0), torch.zeros(2, dtype=torch.float64), _range(-4, 4))


def sign(option: Regression) -> Problem:
    """Examples of ``sin(πx) / 2`` in the middle; its sign elsewhere is not what is known of the outputs there."""
    x = torch.linspace(-0.8, 0.8, 10, dtype=torch.float64)[:, None]
    random = held_out_numbers("sign")
    away = 1.6 * torch.rand(_HELD_OUT, 1, generator=random, dtype=torch.float64) - 0.8
    return Problem(x, _wave(x), (away, _noisy(_wave(away), option, random)), _range(-4, 4))


def _wave(x: Tensor) -> Tensor:
    return (torch.sin(math.pi * x) / 2)[:, 0]


def _noisy(values: Tensor, option: Regression, random: torch.Generator) -> Tensor:
    return values + option.noise * torch.randn(len(values), generator=random, dtype=torch.float64)


def _range(low: float, high: float) -> Tensor:
    return torch.tensor([[low, high]], dtype=torch.float64)
