"""Files in a folder given with ``--config-dir`` that Hydra would not find, or would read as something else."""

import codecs
from pathlib import Path

_GLOBAL = ("experiment", "sweep")  # groups whose files set keys of the whole configuration
_LINE = "# @package _global_"


def not_found(folder: str | None, group: str, option: str) -> str | None:
    """Why an option is not there although a file for it is."""
    path = Path(folder or ".", group, f"{option}.yml")
    if folder is None or not path.is_file():
        return None
    return f"{group}={option}: {path} is not read, only files ending in .yaml are; rename it to {path.stem}.yaml."


def misread(folder: str | None, group: str, option: str) -> str | None:
    """Why a file's keys would not arrive: Hydra finds no ``@package`` line at its top."""
    path = Path(folder or ".", group, f"{option}.yaml")
    if folder is None or group not in _GLOBAL or not path.is_file():
        return None
    content = path.read_bytes()
    if content.startswith(codecs.BOM_UTF8):
        return f"{path}: begins with a byte order mark, which hides the line {_LINE!r}; save it as UTF-8 without one."
    if not _names_a_package(content.decode(errors="replace")):
        return f"{path}: its keys would all stand under {group}; add the line {_LINE!r} at its top."
    return None


def _names_a_package(text: str) -> bool:
    """As Hydra looks for it: in the lines before the first that is neither empty nor begins with ``# @``."""
    for line in text.splitlines():
        words = line.strip().lstrip("#").split()
        if not line.strip():
            continue
        if not (line.strip().startswith("#") and words and words[0].startswith("@")):
            return False
        if words[0] == "@package":
            return True
    return False
