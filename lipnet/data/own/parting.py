"""Which examples are for the test, where the data do not say it. Imports no torch."""

import hashlib
from collections.abc import Sequence

import numpy

from lipnet.errors import UserError


def held_out(labels: numpy.ndarray, fraction: float | None, seed: int, names: Sequence[str] = ()) -> numpy.ndarray:
    """A mask of the test examples: a fraction of each label's, one at least, drawn by the seed.

    Args:
        labels: ``(n,)``, numbers.
        names: of the labels, for messages.

    Raises:
        UserError: a label has one example, and needs one to learn and one to test; or there is no fraction.
    """
    if fraction is None:
        raise UserError("dataset.test=null: the data have no test part of their own; add one, or give a fraction.")
    mask = numpy.zeros(len(labels), dtype=bool)
    for number, label in enumerate(numpy.unique(labels)):
        rows = numpy.flatnonzero(labels == label)
        if len(rows) == 1:
            name = names[label] if len(names) > label >= 0 else label
            raise UserError(f"one example of class {name}, and a class needs one to learn and one to test; add some.")
        told = hashlib.sha256(f"test part {seed} {number}".encode()).digest()
        drawn = numpy.random.RandomState(numpy.frombuffer(told, "<u4")).permutation(len(rows))  # the same for ever
        count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        mask[rows[drawn[:count]]] = True
    return mask
