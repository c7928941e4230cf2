"""The predictor as an estimator of River: ``pip install 'lipnet[river]'``."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lipnet.data.streams.packaged import packaged
from lipnet.options.config import Config
from lipnet.options.defaults import completed
from lipnet.options.parse import parse
from lipnet.randomness import stream_seed
from lipnet.tasks.online.predictor import Predictor
from lipnet.tasks.online.sensitivity import certified_sensitivity

_Regressor: Any = packaged("river.base", "lipnet.tasks.online.estimator", "river").Regressor


class LipschitzRegressor(_Regressor):
    """Predicts the next target from the last ones, as ``task=online`` does; it reads no features.

    It stands wherever River takes a regressor: in pipelines, in ``evaluate.progressive_val_score``, and in
    ``conf.RegressionJackknife``, which adds intervals.

    Args:
        memories, budgets, hidden: as the keys of ``model=experts``.
        loss: ``squared``, ``absolute`` or ``pinball``; the last with ``quantile``.
        aggregator, rate, window, updates: as the keys of ``task=online``.
        warmup: targets before the first prediction of its own; until then it says the last one.
        lr: the learning rate of Adam.
        seed: draws initial weights and examples.

    Raises:
        UserError: of arguments that no run could have.

    Example:
        >>> from river import datasets, evaluate, metrics
        >>> from lipnet.tasks.online.estimator import LipschitzRegressor
        >>> evaluate.progressive_val_score(datasets.WaterFlow(), LipschitzRegressor(), metrics.MAE())  # doctest: +SKIP
    """

    def __init__(
        self,
        memories: Sequence[int] = (1, 2, 4),
        budgets: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
        hidden: Sequence[int] = (16, 16),
        loss: str = "squared",
        quantile: float = 0.9,
        aggregator: str = "weak",
        rate: float = 1.0,
        window: int = 4000,
        updates: float = 0.5,
        warmup: int = 20,
        lr: float = 0.003,
        seed: int = 0,
    ) -> None:
        self.memories, self.budgets, self.hidden = memories, budgets, hidden
        self.loss, self.quantile, self.aggregator, self.rate = loss, quantile, aggregator, rate
        self.window, self.updates, self.warmup, self.lr, self.seed = window, updates, warmup, lr, seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "initial weights of an estimator"))
            self._predictor = Predictor(self._config(), 1, torch.device("cpu"))

    def learn_one(self, x: Mapping[Any, Any] | None, y: float) -> None:
        """Takes in the next target."""
        self._predictor.learn(torch.tensor([float(y)], dtype=torch.float64))

    def predict_one(self, x: Mapping[Any, Any] | None) -> float:
        """Of the next target; 0 before there was any."""
        predictor = self._predictor
        if predictor.ready:
            return float(predictor.predict().value)
        return float(predictor.window.last(1)) if predictor.seen else 0.0

    def certified_sensitivity(self, radius: float) -> float:
        """What an error of this L2 norm in the last targets can move the present prediction by at most, proved."""
        return certified_sensitivity(self._predictor, radius)

    def _config(self) -> Config:
        loss = {"name": self.loss} | ({"quantile": self.quantile} if self.loss == "pinball" else {})
        chosen = {
            "task": {
                "name": "online",
                "aggregator": self.aggregator,
                "rate": self.rate,
                "window": self.window,
                "updates": self.updates,
            },
            "model": {
                "name": "experts",
                "memories": list(self.memories),
                "budgets": list(self.budgets),
                "hidden": list(self.hidden),
            },
            "dataset": {"name": "stdin", "warmup": self.warmup},
            "optimizer": {"name": "adam", "lr": self.lr},
            "loss": loss,
            "scheduler": {"name": "constant"},
            "seed": self.seed,
            "eval_radii": None,
        }
        return parse(completed(chosen))
