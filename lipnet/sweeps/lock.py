"""One process a run directory: a sweep may be launched again while a part of it still runs."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


class Busy(Exception):
    """Another process runs this job."""


@contextlib.contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Holds the directory until the end, however that comes: the system drops the lock of a killed process.

    Raises:
        Busy: another process holds it.
    """
    (directory / ".hydra").mkdir(parents=True, exist_ok=True)
    with open(directory / ".hydra" / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another process runs this job in {directory}") from None
        except OSError:  # a file system without locks
            pass
        yield
