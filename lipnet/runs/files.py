"""Files that are either whole or not there."""

import contextlib
import csv
import itertools
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any


def write_atomically(path: Path, write: Callable[[IO], object], mode: str = "w", previous: Path | None = None) -> None:
    """Writes beside ``path``, syncs, and renames over it: a crash leaves the old file or the new one.

    Args:
        path: the file; its folder is made.
        write: writes the content to a file that is open.
        mode: ``w``, for UTF-8 as it is (bytes of names that are not UTF-8 with it), or ``wb``.
        previous: what becomes of the old file. A crash may leave it under this name, and none at ``path`` yet.

    Raises:
        OSError: with ``path`` as its file name.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text: dict[str, Any] = {} if "b" in mode else {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
        with open(temporary, mode, **text) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):  # it would hide why nothing can be written
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Renames reach the disk in the order in which they were made, whatever the file system."""
    if os.name == "nt":  # there a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_parts(directory: Path) -> None:
    """Removes what a killed process left half written in a folder and those below it."""
    for part in directory.rglob(".*.part"):
        part.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Plain data as indented JSON; NaN and infinity are refused."""
    write_atomically(path, lambda file: json.dump(content, file, indent=2, allow_nan=False))


def write_text(path: Path, text: str) -> None:
    """A text as it is."""
    write_atomically(path, lambda file: print(text, end="", file=file))


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
    """The rows of a table, or none where there is no file; lines that begin with ``#`` may stand before its header.

    Raises:
        OSError, ValueError: it cannot be read, or is no table.
    """
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            return list(csv.DictReader(itertools.dropwhile(lambda line: line.startswith("#"), file)))
        except csv.Error as error:
            raise ValueError(f"no table ({error})") from None


def read_results(directory: Path) -> dict[str, Any]:
    """A run directory's ``results.json``, or nothing where there is none, or none that can be read."""
    try:
        content = json.loads((directory / "results.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
