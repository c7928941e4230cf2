"""Files that are either whole or not there."""

import csv
import itertools
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any


def write_atomically(path: Path, write: Callable[[IO], None], mode: str = "w") -> None:
    """Writes beside ``path``, syncs, and renames over it: a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, mode, newline=None if "b" in mode else "") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Plain data as indented JSON; NaN and infinity are refused."""
    write_atomically(path, lambda file: json.dump(content, file, indent=2, allow_nan=False))


def write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Rows with the same keys, in the first row's order."""
    rows = list(rows)

    def write(file: IO) -> None:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

    if rows:
        write_atomically(path, write)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table, or none where there is no file; lines that begin with ``#`` may stand before its header."""
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(itertools.dropwhile(lambda line: line.startswith("#"), file)))


def read_results(directory: Path) -> dict[str, Any]:
    """A run directory's ``results.json``, or nothing where there is none, or none that can be read."""
    try:
        content = json.loads((directory / "results.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
