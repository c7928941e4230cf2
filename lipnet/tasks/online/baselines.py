"""Predictors to compare with, that know what any other knows: the outcomes so far."""

from typing import Protocol

import torch
from torch import Tensor

from lipnet.options.config import Config
from lipnet.options.option import of_kind
from lipnet.options.tasks import OF_RIVER, Online


class Baseline(Protocol):
    """``predict()`` before ``learn(outcome)``, round by round."""

    def predict(self) -> Tensor:
        """``(dimension,)``."""

    def learn(self, outcome: Tensor) -> None:
        """Takes in an outcome ``(dimension,)``."""


class LastValue:
    """Says that nothing changes."""

    def __init__(self, dimension: int) -> None:
        self._last = torch.zeros(dimension, dtype=torch.float64)

    def predict(self) -> Tensor:
        return self._last

    def learn(self, outcome: Tensor) -> None:
        self._last = outcome


class Ridge:
    """The autoregression of least squares on all that was seen, with a penalty, solved anew in every round.

    Observations are shifted and divided by the mean and the spread of the first few, as experts see them.

    Args:
        memory: how many observations it is a linear function of.
        warmup: how many come before the first prediction.
    """

    def __init__(self, dimension: int, memory: int, warmup: int) -> None:
        self.memory, self.warmup = memory, warmup
        features = memory * dimension + 1
        self._gram = torch.eye(features, dtype=torch.float64)
        self._moments = torch.zeros(features, dimension, dtype=torch.float64)
        self._last: list[Tensor] = []
        self._shift, self._scale = torch.zeros(dimension, dtype=torch.float64), 1.0
        self._started = False

    def predict(self) -> Tensor:
        if not self._started:
            return self._last[-1] if self._last else self._shift
        coefficients = torch.linalg.solve(self._gram, self._moments)
        return self._shift + self._scale * (self._features(len(self._last)) @ coefficients)

    def learn(self, outcome: Tensor) -> None:
        self._last.append(outcome)
        if self._started:
            self._take_in(len(self._last) - 1)
            del self._last[0]
        elif len(self._last) >= self.warmup:
            self._start()

    def _start(self) -> None:
        """Takes in the warm-up."""
        first = torch.stack(self._last)
        self._shift = first.mean(0)
        self._scale = float((first - self._shift).square().mean().sqrt()) or 1.0
        for place in range(self.memory, len(self._last)):
            self._take_in(place)
        self._last, self._started = self._last[-self.memory :], True

    def _take_in(self, place: int) -> None:
        features = self._features(place)
        outcome = (self._last[place] - self._shift) / self._scale
        self._gram += torch.outer(features, features)
        self._moments += torch.outer(features, outcome)

    def _features(self, end: int) -> Tensor:
        """Of the observations before this place, and a constant."""
        before = torch.stack(self._last[end - self.memory : end])
        scaled = ((before - self._shift) / self._scale).flatten()
        return torch.cat((scaled, torch.ones(1, dtype=torch.float64)))


def make_baselines(config: Config, dimension: int, memory: int) -> dict[str, Baseline]:
    """Those that a configuration names, but for ``network``, which has a state to be saved.

    Raises:
        UserError: one is of a package that is not installed.
    """
    found: dict[str, Baseline] = {}
    for name in of_kind(config.task, Online).baselines:
        if name == "last_value":
            found[name] = LastValue(dimension)
        elif name == "ridge":
            found[name] = Ridge(dimension, memory, config.stream.warmup)
        elif name in OF_RIVER:
            from lipnet.tasks.online.with_river import OfRiver

            found[name] = OfRiver(name, dimension, memory, config.seed)
    return found
