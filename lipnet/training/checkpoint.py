"""Checkpoints of plain types, written atomically and loaded without running code."""

import pickle
from pathlib import Path
from typing import Any

import torch

from lipnet.errors import UserError
from lipnet.training.files import write_atomically

FORMAT = 1


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes tensors, numbers, texts, and lists and dicts of them."""
    write_atomically(path, lambda file: torch.save({"format": FORMAT, **content}, file), "wb")


def load(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU under ``weights_only=True``.

    Raises:
        UserError: the file is missing, damaged, or not a checkpoint of this program.
    """
    if not path.is_file():
        raise UserError(f"{path}: this checkpoint does not exist; give a run directory that holds one.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a readable checkpoint ({reason}); delete it to start this run anew.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of this version of lipnet.")
    return content
