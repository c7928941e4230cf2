"""A table of numbers, a row an example, in a CSV file with a header."""

import array
import csv
import math
import os
from pathlib import Path
from typing import Any

import numpy

from lipnet.data.own.arrays import digest_of, standard
from lipnet.data.own.listing import readable_file, some
from lipnet.data.own.parting import held_out
from lipnet.errors import UserError, reason_of
from lipnet.options.images import Table
from lipnet.options.messages import nearest

_WHAT = "a .csv file whose first line names its columns"
_LARGEST = float(numpy.finfo(numpy.float32).max)


def found(option: Table) -> dict[str, Any]:
    """What the keys of a table are where they are null."""
    columns, numbers, labels = loaded(option)
    classes = option.classes or sorted(set(labels), key=_by_number)
    places = {label: number for number, label in enumerate(classes)}
    test = held_out(numpy.array([places.get(label, -1) for label in labels]), option.test, option.seed, classes)
    mean, std = standard(numbers[~test])
    return {
        "classes": classes, "columns": columns, "shape": [len(columns)], "mean": mean, "std": std,
        "content": digest_of(Path(os.path.expanduser(str(option.file))))[:16],
    }  # fmt: skip


def loaded(option: Table) -> tuple[list[str], numpy.ndarray, list[str]]:
    """The columns beside the target, their numbers ``(rows, columns)`` as float32, and the target of each row.

    Raises:
        UserError: with everything that is wrong with the file.
    """
    path, given = readable_file("dataset.file", option.file, _WHAT), f"dataset.file={option.file}"
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            _check_header(option, header)
            place = header.index(str(option.target))
            columns = [name for number, name in enumerate(header) if number != place]
            if option.columns is not None and option.columns != columns:
                raise UserError(f"{given}: its columns are {some(columns)}; the run's are {some(option.columns)}.")
            numbers, problems = array.array("f"), []
            labels: list[str] = []
            for line in reader:
                if not line:
                    continue
                wrong = _read_row(line, header, place, numbers, labels)
                problems += [f"line {reader.line_num}, {problem}" for problem in wrong]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{given}: cannot be read ({reason_of(error, 120)}); give {_WHAT}.") from None
    if problems:
        raise UserError(f"{given}: {len(problems):,} cells are no finite numbers: {some(problems)}.")
    if len(set(labels)) < 2:
        raise UserError(f"{given}: {option.target} has one value in all rows, and a classifier needs two.")
    return columns, numpy.frombuffer(numbers, dtype=numpy.float32).reshape(-1, len(columns)), labels


def _check_header(option: Table, header: list[str]) -> None:
    given = f"dataset.file={option.file}"
    if len(header) < 2:
        raise UserError(f"{given}: its first line names {len(header)} columns; give {_WHAT}.")
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1 or not name]
    if twice:
        raise UserError(f"{given}: columns without a name of their own: {some([repr(name) for name in twice])}.")
    if option.target is None:
        raise UserError(f"dataset.target=null: give the column of the classes, one of {some(header)}.")
    if option.target not in header:
        hint = nearest(option.target, header).removesuffix(" see --help for the names.")
        raise UserError(f"dataset.target={option.target}: no such column;{hint} {given} has {some(header)}.")


def _read_row(line: list[str], header: list[str], place: int, numbers: array.array, labels: list[str]) -> list[str]:
    """Adds a row; returns what is wrong with it."""
    if len(line) != len(header):
        return [f"{len(line)} cells where {len(header)} belong"]
    problems = []
    for number, cell in enumerate(line):
        if number == place:
            labels.append(cell.strip())
            if not cell.strip() or "${" in cell:
                problems.append(f"{header[number]}={cell!r}")
            continue
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not abs(value) <= _LARGEST:
            problems.append(f"{header[number]}={cell!r}")
            value = 0.0
        numbers.append(value)
    return problems


def _by_number(label: str) -> tuple[float, str]:
    try:
        return float(label), label
    except ValueError:
        return math.inf, label
