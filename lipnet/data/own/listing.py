"""The pictures in a folder: their names, without a look into them. Imports no torch.

Names are kept end to end in one text a class, so that a million of them take some tens of megabytes.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from lipnet.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
_SHOWN = 10
_BETWEEN = "\0"


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures of one folder, those in folders below it too, by name.

    Attributes:
        folder: where they are.
        text: their paths below it, one after the other.
        count: how many there are.
        content: tells names and sizes.
        state: tells names, sizes and times.
        others: files that are no pictures, a few of them by name.
        number_of_others: how many of those.
    """

    folder: Path
    text: str
    count: int
    content: str
    state: str
    others: tuple[str, ...] = ()
    number_of_others: int = 0

    def names(self) -> Iterator[str]:
        """Paths below the folder, one at a time."""
        start = 0
        while start < len(self.text):
            end = self.text.find(_BETWEEN, start)
            end = len(self.text) if end < 0 else end
            yield self.text[start:end]
            start = end + 1


def pictures_in(folder: Path) -> Pictures:
    """Every picture of a folder; hidden files are none of it.

    Raises:
        OSError: the folder cannot be read.
    """
    names: list[str] = []
    others: list[str] = []
    number_of_others = 0
    for place, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = os.path.relpath(place, folder)
        for name in files:
            if name.startswith("."):
                continue
            path = name if below == "." else os.path.join(below, name)
            if name.lower().endswith(SUFFIXES):
                names.append(path)
            else:
                number_of_others += 1
                if len(others) < _SHOWN:
                    others.append(path)
    names.sort()
    content, state = hashlib.sha256(), hashlib.sha256()
    for name in names:
        entry = os.stat(os.path.join(folder, name))
        line = f"{name}{_BETWEEN}{entry.st_size}{_BETWEEN}".encode(errors="surrogateescape")
        content.update(line)
        state.update(line + str(entry.st_mtime_ns).encode())
    text, count = _BETWEEN.join(names), len(names)
    return Pictures(
        folder, text, count, content.hexdigest(), state.hexdigest(), tuple(sorted(others)), number_of_others
    )


def _raise(error: OSError) -> None:
    raise error


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted; hidden ones are left out.

    Raises:
        OSError: the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def loose_in(folder: Path) -> list[str]:
    """Names of pictures that lie in a folder itself, sorted.

    Raises:
        OSError: the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.name.lower().endswith(SUFFIXES) and entry.is_file())


def some(names: list[str] | tuple[str, ...], count: int | None = None) -> str:
    """The first of many names, and how many more there are."""
    count = len(names) if count is None else count
    more = f" and {count - min(len(names), _SHOWN):,} more" if count > min(len(names), _SHOWN) else ""
    return ", ".join(names[:_SHOWN]) + more


def readable_folder(key: str, given: str | None, what: str) -> Path:
    """The folder that a key names.

    Raises:
        UserError: none is named, or there is none.
    """
    return _readable(key, given, what, "folder", "file", Path.is_dir)


def readable_file(key: str, given: str | None, what: str) -> Path:
    """The file that a key names.

    Raises:
        UserError: none is named, or there is none.
    """
    return _readable(key, given, what, "file", "folder", Path.is_file)


def _readable(
    key: str, given: str | None, what: str, wanted: str, other: str, is_wanted: Callable[[Path], bool]
) -> Path:
    if given is None:
        raise UserError(f"{key}=null: give {what}.")
    path = Path(os.path.abspath(os.path.expanduser(given)))
    if not is_wanted(path):
        state = f"is a {other}, not a {wanted}" if path.exists() else f"there is no such {wanted}"
        raise UserError(f"{key}={given}: {state}; give {what}.")
    return path
