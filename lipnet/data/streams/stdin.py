"""A live stream: an observation a line of standard input, as it comes."""

import logging
import os
import re
import select
import sys
from collections.abc import Iterator

from lipnet.data.streams.series import numbers
from lipnet.data.streams.source import Goal, Observation, Source, Values
from lipnet.options.streams import Live

log = logging.getLogger("lipnet")

_WAIT = 0.5  # seconds without a line after which the run may look after itself
_WARNINGS = 10


def stdin(option: Live, goal: Goal, seed: int) -> Source:
    """Numbers separated by commas or blanks, a line an observation.

    An observation without numbers stands for a line that holds no such, and ``None`` for the wait for the next one.
    """
    return Source(_observations, None, again=False, replies=True)


def _observations() -> Iterator[Observation | None]:
    dimension, gaps = None, 0
    for line in _lines(sys.stdin.fileno()):
        if line is None:
            yield None
            continue
        values = _values(line, dimension)
        if values is None:
            gaps += 1
            if gaps <= _WARNINGS:
                wanted = "a finite number" if dimension in (None, 1) else f"{dimension} finite numbers"
                log.warning("standard input: %r is not %s; it is taken as a gap", line[:80], wanted)
            yield Observation(())
        else:
            dimension = len(values)
            yield Observation(values)


def _values(line: str, dimension: int | None) -> Values | None:
    values = numbers([cell for cell in re.split(r"[,;\s]+", line.strip()) if cell])
    return values if values is not None and dimension in (None, len(values)) else None


def _lines(descriptor: int) -> Iterator[str | None]:
    """Lines as soon as they are there; ``None`` for each wait, so that a signal or a checkpoint waits for no line."""
    rest = b""
    while True:
        if not select.select([descriptor], [], [], _WAIT)[0]:
            yield None
            continue
        read = os.read(descriptor, 2**16)
        *whole, rest = (rest + read).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
        if not read:
            if rest:
                yield rest.decode(errors="replace")
            return
