"""``stream.csv``: a row a round, as it comes; what is not in a checkpoint yet can be read from it."""

import csv
import io
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lipnet.errors import UserError


class Journal:
    """A table that grows at its end. Every row is handed to the system at once, so that a killed run loses none.

    Args:
        columns: its header.
        position: bytes of it that are right, where a run goes on from a checkpoint.
        replayed: whether the rows behind them will be written once more, as they are: they stay until one differs, so
            that a run that is killed meanwhile has them still. Without it they are cut off.

    Raises:
        UserError: it is shorter than that.
    """

    def __init__(self, path: Path, columns: Sequence[str], position: int = 0, replayed: bool = False) -> None:
        self.path, self.position = path, position
        there = path.stat().st_size if path.exists() else 0
        if there < position:
            raise UserError(
                f"{path}: {there} bytes, and the checkpoint was written after {position}; put it back, or start anew."
            )
        self._file = open(path, "a+b")  # noqa: SIM115
        self._kept = there if replayed else position
        if not replayed:
            os.truncate(path, position)
        if not position:
            self.write(columns)

    def write(self, cells: Sequence[Any]) -> None:
        """One row; floats with nine digits, texts as they are."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow([_cell(cell) for cell in cells])
        line = text.getvalue().encode()
        if self.position < self._kept:
            self._file.seek(self.position)
            if self._file.read(len(line)) == line:
                self.position += len(line)
                return
            os.truncate(self.path, self.position)
            self._kept = self.position
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            error.filename = str(self.path)
            raise
        self.position += len(line)

    def sync(self) -> None:
        """Onto the disk, before a checkpoint that counts on it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def exact(value: float) -> str:
    """A number that is read back as it was."""
    return repr(value)


def rows(path: Path, position: int = 0, end: float = math.inf) -> Iterator[dict[str, str]]:
    """The whole rows of a journal, one at a time.

    Args:
        position: bytes that are passed over, header and all.
        end: where to stop.
    """
    if not path.is_file():
        return
    with open(path, "rb") as file:
        header = file.readline().decode().rstrip("\n").split(",")
        place = max(position, file.tell())
        file.seek(place)
        for line in file:
            place += len(line)
            if place > end:
                return
            cells = line.decode(errors="replace").rstrip("\n").split(",")
            if line.endswith(b"\n") and len(cells) == len(header):
                yield dict(zip(header, cells, strict=True))


def number(text: str) -> float:
    """A cell as a number; an empty one is NaN."""
    return float(text) if text else math.nan


def _cell(cell: Any) -> Any:
    if cell is None:
        return ""
    return f"{cell:.9g}" if isinstance(cell, float) else cell
