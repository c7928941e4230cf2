"""What a stream is, and of what a prediction is one: the mean of what comes next, or a quantile."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lipnet.options.registry import load
from lipnet.options.streams import Stream

Values = tuple[float, ...]


@dataclass(frozen=True)
class Goal:
    """What the loss asks for.

    Attributes:
        level: of the quantile; ``None``: the mean, by the squared loss.
        factor: the loss over that of Koenker & Bassett (1978), ``max(level * e, (level - 1) * e)``; the absolute loss
            is twice it.
    """

    level: float | None = None
    factor: float = 1.0


class Observation(NamedTuple):
    """What is seen in a round, and the best prediction of it from all that came before; ``None`` where not known."""

    outcome: Values
    best: Values | None = None


@dataclass(frozen=True)
class Source:
    """A stream.

    Attributes:
        observations: makes an iterator from the first observation on; one that waits for what comes gives ``None``
            meanwhile, and an observation without numbers for a gap.
        dimension: numbers in an observation; ``None``: told by the first of them.
        optimal_loss: what no strategy can fall below in the limit (Algoet 1994), where it is known.
        again: whether the observations come again, the same ones, with every iterator.
        replies: whether somebody waits for a prediction after each of them.
    """

    observations: Callable[[], Iterator[Observation | None]]
    dimension: int | None = 1
    optimal_loss: float | None = None
    again: bool = True
    replies: bool = False


def load_source(option: Stream, goal: Goal, seed: int) -> Source:
    """The stream of a ``dataset`` option.

    Args:
        seed: draws a process.

    Raises:
        UserError: a file is missing, or holds no such series.
    """
    source: Source = load("dataset", option.name)(option, goal, seed)
    return source
