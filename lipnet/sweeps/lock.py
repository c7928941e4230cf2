"""One process a run directory: a run may be resumed, or a sweep launched again, while it still runs elsewhere."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


class Busy(Exception):
    """Another process runs in this directory."""


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
            raise Busy(f"{directory}: another process is running here") from None
        except OSError:  # a file system without locks
            pass
        yield


def held(directory: Path) -> bool:
    """Whether a process runs in the directory; it is asked without making or changing anything there."""
    try:
        with open(directory / ".hydra" / "lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock, or a file system without them
        pass
    return False
