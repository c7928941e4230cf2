"""Which processes share a run, by the variables that torchrun sets. Imports no torch."""

import os

from lipnet.errors import UserError

_OTHERS = ("RANK", "MASTER_ADDR", "MASTER_PORT")


def shared_by() -> int:
    """How many processes share this run; 1 where ``WORLD_SIZE`` is unset or empty, or stands without the others.

    Raises:
        UserError: the variables name no place among the processes.
    """
    size = _number("WORLD_SIZE", 1, 1)
    there = [name for name in _OTHERS if os.environ.get(name, "").strip()]
    if size == 1 or not there:
        return 1
    missing = [name for name in _OTHERS if name not in there]
    if missing:
        raise UserError(f"WORLD_SIZE={size} without {', '.join(missing)}: torchrun sets all of them; {_ALONE}")
    rank = _number("RANK", 0, 0)
    if rank >= size:
        raise UserError(f"RANK={rank}: of WORLD_SIZE={size} processes the last is {size - 1}; {_ALONE}")
    if _number("MASTER_PORT", 0, 1) > _LAST_PORT:
        raise UserError(f"MASTER_PORT={os.environ['MASTER_PORT']}: must be at most {_LAST_PORT}; {_ALONE}")
    local_rank()
    return size


def rank() -> int:
    """This process's number among those that share the run; 0 where it is alone."""
    return _number("RANK", 0, 0) if shared_by() > 1 else 0


def local_rank() -> int:
    """This process's number among those of its machine."""
    return _number("LOCAL_RANK", 0, 0)


_ALONE = "for a run by itself: unset WORLD_SIZE."
_LAST_PORT = 65535


def _number(name: str, otherwise: int, least: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return otherwise
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise UserError(f"{name}={text}: must be a whole number >= {least}, as torchrun sets it; {_ALONE}")
    return int(text)
