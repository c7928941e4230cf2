"""A hidden Markov chain: two states, seen through Gaussian noise; the best prediction is an exact filter's."""

import math
import statistics
from collections.abc import Iterator

import torch
from torch import Tensor

from lipnet.data.streams.noise import Gaussian, Uniform
from lipnet.data.streams.source import Goal, Observation, Source
from lipnet.options.streams import HiddenMarkov
from lipnet.randomness import stream

_PATHS, _STEPS, _SETTLING = 4_000, 250, 50  # of the average over what the filter knows
_NORMAL = statistics.NormalDist()


def hidden_markov(option: HiddenMarkov, goal: Goal, seed: int) -> Source:
    """Two states, seen as -1 and 1 plus Gaussian noise; each is kept with probability ``stay``."""
    noise = option.noise

    def observations() -> Iterator[Observation]:
        state, upper = 1.0, 0.5
        moves = Uniform(1.0).numbers(lambda block: stream(seed, "moves of a chain", block))
        seen = Gaussian(noise).numbers(lambda block: stream(seed, "noise of a chain", block))
        for move, drawn in zip(moves, seen, strict=True):
            state = state if (move + 1) / 2 < option.stay else -state
            best = 2 * upper - 1 if goal.level is None else _quantile(upper, noise, goal.level)
            outcome = state + drawn
            yield Observation((outcome,), (best,))
            upper = _after(upper, outcome, noise, option.stay)

    return Source(observations, optimal_loss=_least_loss(option, goal))


def _after(upper: float, outcome: float, noise: float, stay: float) -> float:
    """The probability that the next state is the upper one, once this outcome is seen.

    By Bayes' rule the odds are multiplied by the ratio of both densities, ``exp(2 x / noise²)``.
    """
    odds = math.exp(min(2 * outcome / noise**2, 700.0))
    found = upper * odds / (upper * odds + 1 - upper)
    return stay * found + (1 - stay) * (1 - found)


def _quantile(upper: float, noise: float, level: float) -> float:
    """Of the mixture of both states' distributions, by bisection."""
    low, high = -1 - 10 * noise, 1 + 10 * noise
    for _ in range(45):
        middle = (low + high) / 2
        below = upper * _NORMAL.cdf((middle - 1) / noise) + (1 - upper) * _NORMAL.cdf((middle + 1) / noise)
        low, high = (middle, high) if below < level else (low, middle)
    return (low + high) / 2


def _least_loss(option: HiddenMarkov, goal: Goal) -> float:
    """The mean, over what the exact filter knows, of the least expected loss given that.

    Given a probability p of the upper state the variance is ``noise² + 4 p (1 - p)``, and the loss of a quantile an
    integral in closed form. The mean is over a million filtered steps of 4,000 chains: no loss is drawn, and its
    standard error is far below a thousandth.
    """
    random = stream(0, "chains for the least loss")
    state = torch.ones(_PATHS, dtype=torch.float64)
    upper = torch.full((_PATHS,), 0.5, dtype=torch.float64)
    losses = []
    for step in range(_SETTLING + _STEPS):
        moves = torch.rand(_PATHS, generator=random, dtype=torch.float64) >= option.stay
        state = torch.where(moves, -state, state)
        if step >= _SETTLING:
            losses.append(_expected_loss(upper, option.noise, goal).mean())
        outcome = state + option.noise * torch.randn(_PATHS, generator=random, dtype=torch.float64)
        found = torch.sigmoid(torch.logit(upper) + 2 * outcome / option.noise**2)
        upper = option.stay * found + (1 - option.stay) * (1 - found)
    return float(torch.stack(losses).mean())


def _expected_loss(upper: Tensor, noise: float, goal: Goal) -> Tensor:
    """Of the best prediction, given the probabilities of the upper state."""
    if goal.level is None:
        return noise**2 + 4 * upper * (1 - upper)
    low, high = torch.full_like(upper, -1 - 10 * noise), torch.full_like(upper, 1 + 10 * noise)
    for _ in range(40):
        middle = (low + high) / 2
        below = upper * _cdf((middle - 1) / noise) + (1 - upper) * _cdf((middle + 1) / noise)
        low, high = torch.where(below < goal.level, middle, low), torch.where(below < goal.level, high, middle)
    beyond = upper * _beyond(low, 1.0, noise) + (1 - upper) * _beyond(low, -1.0, noise)
    return goal.factor * (beyond - (1 - goal.level) * (2 * upper - 1 - low))  # E(q - X)+ = E(X - q)+ - E(X - q)


def _cdf(values: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(values / math.sqrt(2)))


def _beyond(place: Tensor, mean: float, noise: float) -> Tensor:
    """``E max(X - place, 0)`` of a Gaussian X."""
    z = (mean - place) / noise
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return noise * (density + z * _cdf(z))
