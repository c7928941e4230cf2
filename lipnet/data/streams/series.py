"""A series from a user's file: a CSV with a header, or columns of numbers without one."""

import csv
import difflib
import math
from collections.abc import Iterator
from pathlib import Path

from lipnet.data.streams.source import Goal, Observation, Source, Values
from lipnet.errors import UserError
from lipnet.options.streams import Series


def series(option: Series, goal: Goal, seed: int) -> Source:
    """The series in ``option.file``, a line an observation; read once to be checked, and never held as a whole."""
    path = Path(str(option.file))
    try:
        header, names = _header(path)
        places = _places(option, header)
        count = _checked(path, places, header, names)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"dataset.file={path}: cannot be read ({reason}); give a CSV file.") from None
    enough(f"dataset.file={path}", count, option.warmup)

    def observations() -> Iterator[Observation]:
        for _, cells in _rows(path, names):
            yield Observation(tuple(float(cells[place]) for place in places))

    return Source(observations, len(places))


def enough(what: str, count: int, warmup: int) -> None:
    """Refuses a series that ends before its first prediction.

    Raises:
        UserError: naming it.
    """
    if count <= warmup:
        raise UserError(
            f"{what}: holds {count} observations, and dataset.warmup={warmup} of them come before the first "
            "prediction; give a longer series, or a smaller dataset.warmup."
        )


def numbers(cells: list[str]) -> Values | None:
    """The cells as finite numbers; ``None`` where one is none."""
    try:
        values = tuple(float(cell) for cell in cells)
    except ValueError:
        return None
    return values if values and all(map(math.isfinite, values)) else None


def _rows(path: Path, names: bool) -> Iterator[tuple[int, list[str]]]:
    """The number of each line, from 1, and its cells; without the line of names, and empty ones."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        for cells in lines:
            if names:
                names = False
            elif cells:
                yield lines.line_num, cells


def _header(path: Path) -> tuple[list[str], bool]:
    """The columns' names, numbers from 0 where the file gives none; and whether it gives some."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        first = [cell.strip() for cell in next(csv.reader(file), [])]
    named = bool(first) and numbers(first) is None
    return (first, True) if named else (list(map(str, range(len(first)))), False)


def _places(option: Series, header: list[str]) -> list[int]:
    """Where the chosen columns are; several names are separated by commas."""
    if option.column is None:
        return list(range(len(header)))
    wanted = [name.strip() for name in option.column.split(",")]
    for name in wanted:
        if name not in header:
            close = difflib.get_close_matches(name, header, n=1, cutoff=0.5)
            hint = f" did you mean {close[0]}?" if close else ""
            raise UserError(
                f"dataset.column={name}: {option.file} has no such column;{hint} it has {', '.join(header) or 'none'}."
            )
    return [header.index(name) for name in wanted]


def _checked(path: Path, places: list[int], header: list[str], names: bool) -> int:
    """The number of observations, all of them finite numbers.

    Raises:
        UserError: naming the first line that holds something else, and how many do.
    """
    count, problems, first = 0, 0, ""
    for line, cells in _rows(path, names):
        count += 1
        if len(cells) <= max(places, default=0):
            first = first or f"line {line} has {len(cells)} cells"
            problems += 1
        elif numbers([cells[place] for place in places]) is None:
            wrong = next(place for place in places if numbers([cells[place]]) is None)
            first = first or f"line {line} has {cells[wrong].strip()!r} for {header[wrong]}"
            problems += 1
    if problems:
        raise UserError(
            f"dataset.file={path}: {first}, no finite number, and {problems} of {count} lines are so; fill the gaps, "
            "leave these lines out, or choose dataset.column=NAME."
        )
    return count
