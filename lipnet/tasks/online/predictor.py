"""The predictor itself: experts, their weights, and the window on which they learn. It knows no run and no file."""

import copy
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lipnet.data.streams import Goal
from lipnet.errors import UserError
from lipnet.losses.regression import Regression
from lipnet.models.experts import Bounds, Experts, Weights, experts
from lipnet.options.config import Config
from lipnet.options.option import of_kind
from lipnet.options.registry import load
from lipnet.options.tasks import Online
from lipnet.options.training import Pinball
from lipnet.randomness import stream
from lipnet.tasks.online.aggregation import Aggregation
from lipnet.tasks.online.window import Window
from lipnet.training.schedules import build_optimizer

_LOCAL = 256  # stretches of the window at which local constants are measured


class Prediction(NamedTuple):
    """What is said of the next observation, in its units.

    Attributes:
        value: ``(dimension,)``.
        of_experts: ``(experts, dimension)``.
        weights: of the experts: ``(experts,)``.
    """

    value: Tensor
    of_experts: Tensor
    weights: Tensor


def regression_loss(config: Config) -> Regression:
    """The configuration's loss of a prediction."""
    loss: Regression = load("loss", config.loss.name)(config.loss)
    return loss


def goal_of(config: Config) -> Goal:
    """What that loss asks for."""
    if isinstance(config.loss, Pinball):
        return Goal(config.loss.quantile)
    return Goal(0.5, 2.0) if config.loss.name == "absolute" else Goal()


class Predictor:
    """Predicts one observation after the other, and learns from each once it is seen.

    ``predict()`` before ``learn(outcome)``, round by round; nothing is said of the first ``dataset.warmup`` outcomes.
    Inside, observations are shifted and divided by one number for all coordinates, which changes no Lipschitz constant.

    Networks that learn at a constant rate never come to rest; so those that predict are means of their parameters over
    the last steps, and constrained networks are as constrained with means of free matrices.

    Args:
        dimension: numbers in an observation.

    Attributes:
        experts: the networks that predict.
        learners: those that learn.
    """

    _prediction: Prediction | None
    _weights: Weights | None
    _bounds: Bounds | None

    def __init__(self, config: Config, dimension: int, device: torch.device) -> None:
        self.config, self.option, self.device = config, of_kind(config.task, Online), device
        self.loss = regression_loss(config)
        self.learners = experts(config, dimension).to(device)
        self.experts: Experts = copy.deepcopy(self.learners).requires_grad_(False)
        self.memory = max(self.experts.memories)
        self.optimizer = build_optimizer(config.optimizer, self.learners.parameters())
        self.aggregation = Aggregation(len(self.experts.list), self.option.aggregator, self.option.rate)
        self.window = Window(max(self.option.window + self.memory, config.stream.warmup), dimension)
        self.seen = self.steps = 0
        self.shift = torch.full((dimension,), config.stream.shift or 0.0, dtype=torch.float64)
        self.scale = config.stream.scale or 1.0
        self._forget()

    @property
    def ready(self) -> bool:
        """Whether the warm-up is over."""
        return self.seen >= self.config.stream.warmup

    @property
    def unit(self) -> float:
        """What a loss of 1 of the shifted and scaled observations is in the stream's own units."""
        one = torch.ones(1, dtype=torch.float64)
        return float(self.loss(self.scale * one, 0 * one) / self.loss(one, 0 * one))

    def predict(self) -> Prediction:
        """Of the next observation, from those seen so far; the same however often it is asked for."""
        if self._prediction is None:
            with torch.no_grad():
                of_experts = self.of_experts(self.context()[None])[:, 0]
            weights = self.aggregation.weights()
            self._prediction = Prediction(weights @ of_experts, of_experts, weights)
        return self._prediction

    def context(self) -> Tensor:
        """The last observations, as many as the longest memory has: ``(memory, dimension)``."""
        return self.window.last(self.memory)

    def of_experts(self, contexts: Tensor) -> Tensor:
        """Predictions ``(experts, batch, dimension)`` from last observations ``(batch, memory, dimension)``."""
        scaled = ((contexts - self.shift) / self.scale).to(self.device)
        return self.shift + self.scale * self.experts(scaled, self._current()).cpu()

    def learn(self, outcome: Tensor) -> None:
        """Takes in the outcome ``(dimension,)``: the weights of the experts first, then the experts themselves."""
        if self.ready:
            losses = self.loss(self.predict().of_experts, outcome) / self.unit
            self.aggregation.learn(losses)
        self.window.add(outcome)
        self.seen += 1
        self._prediction = None
        if self.seen == self.config.stream.warmup:
            self._settle()
        if self.ready and len(self.window) > self.memory:
            for number in range(self._updates()):
                self._update(number)

    def _settle(self) -> None:
        """Shift and scale from the warm-up, where the stream does not say."""
        first = self.window.last(self.seen)
        if self.config.stream.shift is None:
            self.shift = first.mean(0)
        if self.config.stream.scale is None:
            spread = float((first - first.mean(0)).square().mean().sqrt())
            self.scale = spread or 1.0

    def _updates(self) -> int:
        """Steps in this round, so that there are ``updates`` a round on average."""
        rounds = self.seen - self.config.stream.warmup
        return math.floor((rounds + 1) * self.option.updates) - math.floor(rounds * self.option.updates)

    def _update(self, number: int) -> None:
        random = stream(self.config.seed, "examples of a window", self.seen, number)
        contexts, outcomes = self._examples(self.option.examples, random)
        losses, excess = self._losses(contexts, outcomes)
        total = losses.sum() + self.option.penalty * excess
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        if not math.isfinite(float(total.detach())):
            raise UserError(
                f"the experts diverged after {self.seen} observations: their loss is not finite. A smaller "
                f"optimizer.lr (it is {self.config.optimizer.lr:g}) usually avoids it."
            )
        self._average()
        self._forget()

    def _average(self) -> None:
        """At first over few steps, a tenth of all, since the first weights are none to be kept."""
        self.steps += 1
        kept = min(self.option.averaging, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for mean, latest in zip(self.experts.parameters(), self.learners.parameters(), strict=True):
                mean.lerp_(latest, 1 - kept)

    def _losses(self, contexts: Tensor, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        """Each expert's loss, and the sum of what local constants exceed budgets by, where that is penalised."""
        penalised = self.option.penalty > 0
        if penalised:
            contexts = self._for_each_expert(contexts)
        predictions = self.learners(contexts, self.learners.weights())
        losses = self.loss(predictions, outcomes).mean(1)
        if not penalised:
            return losses, losses.new_zeros(())
        local = _local_constants(predictions, contexts)
        budgets = torch.tensor([expert.budget for expert in self.experts.list], dtype=local.dtype, device=local.device)
        return losses, (local.amax(1) - budgets).clamp_min(0).sum()

    def _examples(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        contexts, outcomes = self.window.examples(count, self.memory, random)
        scaled = ((part - self.shift) / self.scale for part in (contexts, outcomes))
        first, second = (part.to(self.device) for part in scaled)
        return first, second

    def local_constants(self) -> list[float]:
        """The largest norm of each expert's Jacobian at stretches of the window: its constant is at least that."""
        random = stream(self.config.seed, "places of local constants", self.seen)
        contexts, _ = self._examples(_LOCAL, random)
        contexts = self._for_each_expert(contexts)
        predictions = self.experts(contexts, self._current())
        found: list[float] = _local_constants(predictions, contexts).amax(1).tolist()
        return found

    def _for_each_expert(self, contexts: Tensor) -> Tensor:
        """Copies, so that one backward pass gives the gradients of all experts."""
        return contexts.expand(len(self.experts.list), *contexts.shape).clone().requires_grad_()

    def bounds(self) -> Bounds:
        """What is proved of each expert as it is now."""
        if self._bounds is None:
            self._bounds = Bounds(*(part.cpu() for part in self.experts.bounds(self._current())))
        return self._bounds

    def regret_bound(self) -> float | None:
        """Of the total loss, in the stream's units; ``None`` where nothing is proved."""
        bound = self.aggregation.regret_bound()
        return None if bound is None else bound * self.unit

    def _current(self) -> Weights:
        """The weights since the last update, each made once."""
        if self._weights is None:
            with torch.no_grad():
                self._weights = self.experts.weights()
        return self._weights

    def _forget(self) -> None:
        self._weights = self._bounds = self._prediction = None

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain types: all that the following rounds depend on."""
        return {
            "model": self.experts.state_dict(),
            "learners": self.learners.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "aggregation": self.aggregation.state_dict(),
            "window": self.window.state_dict(),
            "seen": self.seen,
            "steps": self.steps,
            "shift": self.shift,
            "scale": self.scale,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over such a state.

        Raises:
            LookupError, RuntimeError, TypeError, ValueError: it is not of such a predictor.
        """
        self.experts.load_state_dict(state["model"])
        self.learners.load_state_dict(state["learners"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.aggregation.load_state_dict(state["aggregation"])
        self.window.load_state_dict(state["window"])
        self.seen, self.steps, self.shift, self.scale = (state[name] for name in ("seen", "steps", "shift", "scale"))
        self._forget()


def _local_constants(predictions: Tensor, contexts: Tensor) -> Tensor:
    """The Frobenius norms of Jacobians, ``(experts, batch)``; of one row they are the spectral norms."""
    squares = torch.zeros_like(predictions[..., 0])
    for row in range(predictions.shape[-1]):
        (gradient,) = torch.autograd.grad(predictions[..., row].sum(), contexts, create_graph=True)
        squares = squares + gradient.flatten(2).square().sum(2)
    return (squares + torch.finfo(squares.dtype).tiny).sqrt()
