"""One process a run directory: a run may be resumed, or a sweep launched again, while it still runs elsewhere."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from lipnet.locks import Locked, is_locked, locked


class Busy(Exception):
    """Another process runs in this directory."""


@contextlib.contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Holds the directory until the end, however that comes: the system drops the lock of a killed process.

    Raises:
        Busy: another process holds it.
    """
    (directory / ".hydra").mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(directory / ".hydra" / "lock"))
        except Locked:
            raise Busy(f"{directory}: another process is running here") from None
        except OSError:  # a file system without locks
            pass
        yield


def held(directory: Path) -> bool:
    """Whether a process runs in the directory; it is asked without making or changing anything there."""
    return is_locked(directory / ".hydra" / "lock")
