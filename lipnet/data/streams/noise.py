"""Noise whose quantiles, and the least loss with which it can be predicted, are known in closed form."""

import itertools
import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from lipnet.data.streams.source import Goal

_BLOCK = 1024  # numbers that are drawn at once, each block from a stream of its own


@dataclass(frozen=True)
class Noise(ABC):
    """Independent, with mean 0.

    Attributes:
        size: its spread.
    """

    size: float

    @abstractmethod
    def draw(self, count: int, random: torch.Generator) -> torch.Tensor:
        """So many numbers, float64."""

    @abstractmethod
    def best(self, goal: Goal) -> float:
        """Its best prediction: the mean, or the quantile."""

    @abstractmethod
    def least_loss(self, goal: Goal) -> float:
        """The expected loss of that prediction."""

    def numbers(self, random: Callable[[int], torch.Generator]) -> Iterator[float]:
        """Without end; ``random`` gives the generator of each block of them."""
        for block in itertools.count():
            yield from self.draw(_BLOCK, random(block)).tolist()


class Uniform(Noise):
    """From ``-size`` to ``size``."""

    def draw(self, count: int, random: torch.Generator) -> torch.Tensor:
        return self.size * (2 * torch.rand(count, generator=random, dtype=torch.float64) - 1)

    def best(self, goal: Goal) -> float:
        return 0.0 if goal.level is None else self.size * (2 * goal.level - 1)

    def least_loss(self, goal: Goal) -> float:
        """The variance ``a²/3``; of a quantile, ``a τ (1 - τ)``."""
        if goal.level is None:
            return self.size**2 / 3
        return goal.factor * self.size * goal.level * (1 - goal.level)


class Gaussian(Noise):
    """With standard deviation ``size``."""

    def draw(self, count: int, random: torch.Generator) -> torch.Tensor:
        return self.size * torch.randn(count, generator=random, dtype=torch.float64)

    def best(self, goal: Goal) -> float:
        return 0.0 if goal.level is None else self.size * statistics.NormalDist().inv_cdf(goal.level)

    def least_loss(self, goal: Goal) -> float:
        """The variance; of a quantile z of the standard distribution, ``σ φ(z)``."""
        if goal.level is None:
            return self.size**2
        standard = self.best(goal) / self.size
        return goal.factor * self.size * math.exp(-(standard**2) / 2) / math.sqrt(2 * math.pi)
