"""Malformed inputs for ``scripts/stress/malformed_inputs.py``: a file for each kind."""

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from lipnet import app

TINY = (
    "dataset.limit_train=60", "dataset.limit_test=8", "batch_size=16", "epochs=2", "model.channels=[4,4]",
    "model.hidden=[8]", "attack.names=[]", "singular_values_every=0", "progress=off", "threads=1", "device=cpu",
)  # fmt: skip
MARK = "CODE_RAN"  # the file that code in an input would leave


@dataclass(frozen=True)
class Case:
    """One malformed input.

    Attributes:
        prepare: ``folder -> arguments``; it writes the input into an empty folder, which is the working directory.
        program: what is given the arguments.
        harmless: a random input may happen to be a right one; the others must be refused.
        untouched: not a byte of any file may change, nor a file appear.
    """

    kind: str
    name: str
    prepare: Callable[[Path], list[str]]
    program: Callable[[list[str]], int]
    harmless: bool = False
    untouched: bool = False


def lipnet(given: list[str]) -> int:
    """The program with these arguments, in this process."""
    with mock.patch.object(sys, "argv", ["lipnet", *given]):
        app.main()
    return 0


def flip(path: Path, seed: int) -> None:
    """Changes a few bytes, anywhere."""
    draw, content = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(draw.randrange(1, 30)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    path.write_bytes(content)
