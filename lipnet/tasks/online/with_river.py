"""Online learners of River (Montiel et al. 2021) as baselines: one model for each coordinate."""

from collections import deque
from typing import Any

import torch
from torch import Tensor

from lipnet.data.streams.packaged import packaged


class OfRiver:
    """``snarimax`` (p last values, one last error), ``holt_winters`` (level and trend) or ``adaptive_tree``.

    Raises:
        UserError: River is not installed.
    """

    def __init__(self, name: str, dimension: int, memory: int, seed: int) -> None:
        make = {"snarimax": _snarimax, "holt_winters": _holt_winters, "adaptive_tree": _adaptive_tree}[name]
        self._models: list[Any] = [make(memory, seed) for _ in range(dimension)]
        self._last = torch.zeros(dimension, dtype=torch.float64)

    def predict(self) -> Tensor:
        """The last value where a model is not ready yet."""
        said = [model.predict(float(last)) for model, last in zip(self._models, self._last, strict=True)]
        return torch.tensor(said, dtype=torch.float64)

    def learn(self, outcome: Tensor) -> None:
        for model, value in zip(self._models, outcome.tolist(), strict=True):
            model.learn(value)
        self._last = outcome


class _Forecaster:
    """A model of a series."""

    def __init__(self, model: Any, needed: int) -> None:
        self.model, self.needed, self.seen = model, needed, 0

    def predict(self, last: float) -> float:
        return float(self.model.forecast(horizon=1)[0]) if self.seen >= self.needed else last

    def learn(self, value: float) -> None:
        self.model.learn_one(value)
        self.seen += 1


class _OfLags:
    """A regressor on the last values."""

    def __init__(self, model: Any, memory: int) -> None:
        self.model = model
        self.last: deque[float] = deque(maxlen=memory)

    def predict(self, last: float) -> float:
        return float(self.model.predict_one(self._features())) if self._full else last

    def learn(self, value: float) -> None:
        if self._full:
            self.model.learn_one(self._features(), value)
        self.last.append(value)

    @property
    def _full(self) -> bool:
        return len(self.last) == self.last.maxlen

    def _features(self) -> dict[str, float]:
        return {f"lag_{place}": value for place, value in enumerate(reversed(self.last), start=1)}


def _snarimax(memory: int, seed: int) -> Any:
    module = packaged("river.time_series", "task.baselines: snarimax", "river")
    return _Forecaster(module.SNARIMAX(p=memory, d=0, q=1), memory + 1)


def _holt_winters(memory: int, seed: int) -> Any:
    module = packaged("river.time_series", "task.baselines: holt_winters", "river")
    return _Forecaster(module.HoltWinters(alpha=0.3, beta=0.1), 3)


def _adaptive_tree(memory: int, seed: int) -> Any:
    module = packaged("river.tree", "task.baselines: adaptive_tree", "river")
    return _OfLags(module.HoeffdingAdaptiveTreeRegressor(seed=seed % 2**32), memory)
