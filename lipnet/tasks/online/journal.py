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
        position: bytes of it that are right, where a run goes on from a checkpoint; what is behind them is cut off.

    Raises:
        UserError: it is shorter than that.
    """

    def __init__(self, path: Path, columns: Sequence[str], position: int = 0) -> None:
        self.path = path
        there = path.stat().st_size if path.exists() else 0
        if there < position:
            raise UserError(
                f"{path}: {there} bytes, and the checkpoint was written after {position}; put it back, or start anew."
            )
        self._file = open(path, "ab")  # noqa: SIM115
        os.truncate(path, position)
        self._file.seek(0, os.SEEK_END)
        if not position:
            self.write(columns)

    def write(self, cells: Sequence[Any]) -> None:
        """One row; floats with nine digits, texts as they are."""
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([_cell(cell) for cell in cells])
        try:
            self._file.write(line.getvalue().encode())
            self._file.flush()
        except OSError as error:
            error.filename = str(self.path)
            raise

    @property
    def position(self) -> int:
        """Bytes so far."""
        return self._file.tell()

    def sync(self) -> None:
        """Onto the disk, before a checkpoint that counts on it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def exact(value: float) -> str:
    """A number that is read back as it was."""
    return repr(value)


def rows(path: Path, position: int = 0) -> Iterator[dict[str, str]]:
    """The whole rows of a journal, one at a time.

    Args:
        position: bytes that are passed over behind the header.
    """
    if not path.is_file():
        return
    with open(path, "rb") as file:
        header = file.readline().decode().rstrip("\n").split(",")
        if position:
            file.seek(position)
        for line in file:
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
