"""Locks between processes, on files. The system drops that of a process that ends, so that no lock is ever stale."""

import contextlib
import errno
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, Any

fcntl: ModuleType | None
msvcrt: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import msvcrt
except ImportError:
    msvcrt = None

_HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_LOCKED_BYTE = 2**30  # on Windows a locked byte cannot be read: one far behind what the file says


class Locked(Exception):
    """Another process holds the lock; the message names it: ``process 123 on host``."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock on a file, which is made, until the end; the file stays, and says who held it last.

    Raises:
        Locked: another process holds it.
        OSError: the file cannot be written, or its file system has no locks.
    """
    with open(path, "a+", encoding="utf-8", errors="replace") as file:
        try:
            _take(file)
        except OSError as error:
            if error.errno not in _HELD:
                raise
            file.seek(0)
            raise Locked(file.read(200).strip() or "another process") from None
        with contextlib.suppress(OSError):  # a full disk: the lock holds, without a name
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
        yield


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock; it is asked without making or changing the file."""
    try:
        with open(path, encoding="utf-8") as file:
            _take(file, shared=True)
    except OSError as error:  # another number: no such file, or a file system without locks
        return error.errno in _HELD and os.access(path, os.R_OK)
    return False


def _take(file: IO[str], shared: bool = False) -> None:
    """Takes the lock, or raises what the system does."""
    if fcntl is not None:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    elif msvcrt is not None:
        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
