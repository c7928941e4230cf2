"""Processes ``X_t = f(X_{t-1}, X_{t-2}) + noise``: the best prediction is f, moved by that of the noise."""

import math
from collections.abc import Callable, Iterator

import torch

from lipnet.data.streams.noise import Gaussian, Noise, Uniform
from lipnet.data.streams.source import Goal, Observation, Source
from lipnet.options.streams import ChangePoint, LogisticMap, Process
from lipnet.randomness import stream

Rule = Callable[[float, float], float]  # (the last value, the one before it) -> the next without its noise

_SETTLING = 200  # values before the first, so that it is as likely as any other


def autoregression(option: Process, goal: Goal, seed: int) -> Source:
    """``X_t = 0.72 sin(2 X_{t-1}) + 0.3 X_{t-2} + U(-noise, noise)``."""
    return _process(lambda number: _sine, Uniform(option.noise), goal, seed)


def setar(option: Process, goal: Goal, seed: int) -> Source:
    """A continuous threshold autoregression (Chan & Tsay 1998): slope 0.9 below 0, -0.9 above, Gaussian noise."""
    return _process(lambda number: _threshold, Gaussian(option.noise), goal, seed)


def logistic_map(option: LogisticMap, goal: Goal, seed: int) -> Source:
    """``X_t = 0.05 + 3.42 X_{t-1} (1 - X_{t-1}) + U(-noise, noise)``: chaotic, and in [0, 1] for noise up to 0.05."""
    return _process(lambda number: _logistic, Uniform(option.noise), goal, seed, start=0.4)


def change_point(option: ChangePoint, goal: Goal, seed: int) -> Source:
    """``autoregression`` up to round ``change``; from there on with the sine's sign turned round.

    The best prediction knows when that is, as a strategy learns in the limit.
    """
    last = option.warmup + option.change

    def rule(number: int) -> Rule:
        return _sine if number < last else _turned_sine

    return _process(rule, Uniform(option.noise), goal, seed)


def _sine(last: float, before: float) -> float:
    return 0.72 * math.sin(2 * last) + 0.3 * before


def _turned_sine(last: float, before: float) -> float:
    return -0.72 * math.sin(2 * last) + 0.3 * before


def _threshold(last: float, before: float) -> float:
    return 0.8 + 0.9 * last if last <= 0 else 0.8 - 0.9 * last


def _logistic(last: float, before: float) -> float:
    return 0.05 + 3.42 * last * (1 - last)


def _process(rule: Callable[[int], Rule], noise: Noise, goal: Goal, seed: int, start: float = 0.0) -> Source:
    """A process of one number.

    Args:
        rule: by the number of the observation, from 0.
    """

    def random(block: int) -> torch.Generator:
        return stream(seed, "noise of a process", block)

    def observations() -> Iterator[Observation]:
        last = before = start
        shift = noise.best(goal)
        for number, drawn in enumerate(noise.numbers(random), start=-_SETTLING):
            expected = rule(number)(last, before)
            last, before = expected + drawn, last
            if number >= 0:
                yield Observation((last,), (expected + shift,))

    return Source(observations, optimal_loss=noise.least_loss(goal))
