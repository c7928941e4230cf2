"""Checkpoints of plain types, written atomically and loaded without running code."""

import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from lipnet.errors import UserError, reason_of
from lipnet.runs.files import write_atomically

FORMAT = 1
# What torch's unpickler stumbles over, in files that no torch wrote.
UNREADABLE = (
    RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError, OverflowError,
    MemoryError, ImportError, pickle.PickleError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def save(path: Path, content: dict[str, Any], previous: Path | None = None) -> None:
    """Writes tensors, numbers, texts, and lists and dicts of them; the file that was there becomes ``previous``."""
    buffer = io.BytesIO()  # torch's own writer ends the process where the disk is full
    torch.save({"format": FORMAT, **content}, buffer)
    write_atomically(path, lambda file: file.write(buffer.getbuffer()), "wb", previous)


def load(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU under ``weights_only=True``.

    Raises:
        UserError: the file is missing, damaged, or not a checkpoint of this program.
    """
    if not path.is_file():
        raise UserError(f"{path}: this checkpoint does not exist; give a run directory that holds one.")
    try:
        _verify(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = reason_of(error)
        raise UserError(f"{path}: not a readable checkpoint ({reason}).") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of this version of lipnet.")
    return content


def require(content: dict[str, Any], path: Path, **parts: type) -> None:
    """Refuses a checkpoint that lacks a part, or has one of another type.

    Raises:
        UserError: naming the part.
    """
    for name, kind in parts.items():
        if not isinstance(content.get(name), kind):
            raise UserError(f"{path}: not a checkpoint of a run; its {name!r} is missing or no {kind.__name__}.")


def _verify(path: Path) -> None:
    """Compares every part with its checksum, which torch writes but does not read."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} is damaged")
