"""What the end of a run reads back from ``stream.csv``, in one pass and in little memory."""

from collections import deque
from pathlib import Path
from typing import NamedTuple

import numpy

from lipnet.tasks.online.journal import number, rows

_BINS, _SHOWN = 400, 200


class Summary(NamedTuple):
    """A stream of any length as a few hundred numbers.

    Attributes:
        ends: the last round of each bin.
        means: column -> its mean in each bin.
        last_half: column -> its mean over the second half of the rounds.
        window: column -> its values in the last rounds; those of the first coordinate of outcomes and predictions.
    """

    ends: numpy.ndarray
    means: dict[str, numpy.ndarray]
    last_half: dict[str, float]
    window: dict[str, numpy.ndarray]


def summarize_stream(path: Path, rounds: int) -> Summary:
    """Of a journal of so many rounds; columns that are empty in a bin are NaN there."""
    count = min(rounds, _BINS)
    columns: list[str] = []
    sums, half, kept = numpy.zeros((0, 0)), numpy.zeros(0), deque[numpy.ndarray](maxlen=_SHOWN)
    for row in rows(path):
        place = int(row["round"]) - 1
        if place < 0:
            continue
        if not columns:
            columns = [name for name in row if name != "round"]
            sums, half = numpy.zeros((count, len(columns))), numpy.zeros(len(columns))
        values = numpy.array([number(row[name]) for name in columns])
        sums[place * count // rounds] += values
        if place >= rounds // 2:
            half += values
        kept.append(values)
    ends = -(-numpy.arange(1, count + 1) * rounds // count)
    sizes = numpy.diff(ends, prepend=0)[:, None]
    means, last = sums / sizes, numpy.array(kept)
    return Summary(
        ends,
        {name: means[:, place] for place, name in enumerate(columns)},
        {name: float(half[place] / (rounds - rounds // 2)) for place, name in enumerate(columns)},
        {name: last[:, place] for place, name in enumerate(columns)},
    )
