"""Tables that fit the terminal: what matters most is shown, what has no room is named; files and pipes get all."""

import copy
import logging
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

_GAP = 2  # spaces between columns


@dataclass(frozen=True)
class Column:
    """A column of a table: texts stand on the left, numbers on the right. A title may have several lines."""

    title: str
    cells: list[str]
    text: bool = False

    @property
    def width(self) -> int:
        return max(map(len, [*self.title.split("\n"), *self.cells]))

    @property
    def narrow(self) -> "Column":
        """This column with its title in two lines, where that makes it narrower: ``certified_`` and ``float64@0.3``."""
        places = [match.start() for match in re.finditer(r"(?<=_)|(?=@)| ", self.title)]
        places.reverse()  # of several that are as good, the last
        columns = [self]
        for place in filter(None, places):
            title = f"{self.title[:place].rstrip()}\n{self.title[place:].lstrip()}"
            columns.append(Column(title, self.cells, self.text))
        return min(columns, key=lambda column: column.width)


def terminal_width(stream: TextIO) -> int | None:
    """How many characters a line of a terminal holds (``$COLUMNS`` where set); ``None`` for a file or a pipe."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def fitting_table(
    columns: list[Column], width: int | None, remedy: str, order: list[int] | None = None
) -> tuple[list[str], list[str], list[str]]:
    """The lines of the titles, those of the rows, and those that name the columns that have no room.

    Where a line cannot hold all columns, long titles are put into two lines; then columns are left out.

    Args:
        width: of a line; ``None``: there is room for all.
        remedy: what shows the columns that are left out.
        order: places, the most important first; from left to right without it.
    """
    names = [column.title for column in columns]
    if width is not None and _whole(columns) > width:
        columns = [column.narrow for column in columns]
    shown = _with_room(columns, order or list(range(len(columns))), width)
    hidden = [name for place, name in enumerate(names) if place not in shown]
    named = wrapped(f"no room in {width} characters for {', '.join(hidden)}; {remedy}", width) if hidden else []
    return *_aligned([columns[place] for place in shown]), named


def _whole(columns: list[Column]) -> int:
    return sum(column.width for column in columns) + _GAP * (len(columns) - 1)


def _with_room(columns: list[Column], order: list[int], width: int | None) -> list[int]:
    """The places of the columns that a line has room for, from left to right.

    Columns are taken in order. A text that is too long is passed over; the first numbers that have no room end it, so
    that what is shown of the numbers is what comes first. One column is always shown.
    """
    if width is None or _whole(columns) <= width:
        return list(range(len(columns)))
    shown = order[:1]
    for place in order[1:]:
        if _whole([columns[place] for place in [*shown, place]]) <= width:
            shown.append(place)
        elif not columns[place].text:
            break
    return sorted(shown)


def _aligned(columns: list[Column]) -> tuple[list[str], list[str]]:
    """The lines of the titles, which end on the same line; and those of the rows."""
    height = max(column.title.count("\n") for column in columns) + 1
    padded = []
    for column in columns:
        titles = column.title.split("\n")
        side = str.ljust if column.text else str.rjust
        lines = [*([""] * (height - len(titles))), *titles, *column.cells]
        padded.append([side(line, column.width) for line in lines])
    joined = [(" " * _GAP).join(cells).rstrip() for cells in zip(*padded, strict=True)]
    return joined[:height], joined[height:]


def wrapped(text: str, width: int | None, start: str = "", indent: str = "  ") -> list[str]:
    """A text in lines of ``width`` characters; words and names stay whole.

    Args:
        start: opens the first line.
        indent: opens the others, unless it would take more than half of them.
    """
    if width is None:
        return [start + text]
    hanging = indent if 2 * len(indent) <= width else "  "
    return textwrap.wrap(
        text,
        max(width, 20),
        initial_indent=start,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


@dataclass(frozen=True)
class Fitting:
    """A text that depends on the room there is; ``str`` gives the one without limit."""

    render: Callable[[int | None], str]

    def __str__(self) -> str:
        return self.render(None)


def log_fitting(log: logging.Logger, message: str, *values: object) -> None:
    """Logs a message: of a ``Fitting`` among its values terminals get what fits, files and pipes everything."""
    with _fitted_to_terminals():
        log.info(message, *values)


class _Fitted(logging.Formatter):
    """Formats as another formatter does, each ``Fitting`` to a width."""

    def __init__(self, formatter: logging.Formatter, width: int) -> None:
        super().__init__()
        self.formatter, self.width = formatter, width

    def format(self, record: logging.LogRecord) -> str:
        fitted = copy.copy(record)
        values: list[object] = []
        for value in record.args if isinstance(record.args, tuple) else ():
            values.append(value.render(self.width) if isinstance(value, Fitting) else value)
        fitted.args = tuple(values)
        return self.formatter.format(fitted)


@contextmanager
def _fitted_to_terminals() -> Iterator[None]:
    before = [(handler, handler.formatter) for handler in logging.getLogger().handlers]
    for handler, formatter in before:
        stream = getattr(handler, "stream", None)
        if stream is None:
            continue
        width = terminal_width(stream)
        if width is not None:
            handler.setFormatter(_Fitted(formatter or logging.Formatter(), width))
    try:
        yield
    finally:
        for handler, formatter in before:
            handler.setFormatter(formatter)
