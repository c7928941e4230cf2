"""Checkpoints of plain types, written atomically and loaded without running code."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from lipnet.errors import UserError
from lipnet.training.files import write_atomically

FORMAT = 1


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
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a readable checkpoint ({reason}).") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of this version of lipnet.")
    return content


def _verify(path: Path) -> None:
    """Compares every part with its checksum, which torch writes but does not read."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} is damaged")
