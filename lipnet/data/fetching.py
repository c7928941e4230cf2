"""Downloads of data sets, by one process at a time: others wait until the files are whole."""

import contextlib
import errno
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from lipnet.locks import Locked, locked

log = logging.getLogger("lipnet")

_PAUSE = 0.5  # seconds between two looks at a lock
_UNWRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
)  # the download fails of it, and says so


@contextlib.contextmanager
def alone_fetching(name: str, root: Path) -> Iterator[None]:
    """Holds the lock of a data set in a root, which is made; waits where another process has it, and says for whom.

    On a file system without locks it goes on, and says that.

    Raises:
        OSError: the root cannot be made.
    """
    root.mkdir(parents=True, exist_ok=True)
    path = root / f".{name}.lock"
    with contextlib.ExitStack() as stack:
        try:
            _wait(stack, path, name, root)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                log.warning(
                    "%s: no locks there (%s); start one run alone until %s is fetched", root, error.strerror, name
                )
        yield


def _wait(stack: contextlib.ExitStack, path: Path, name: str, root: Path) -> None:
    told = False
    while True:
        try:
            stack.enter_context(locked(path))
            return
        except Locked as holder:
            if not told:
                log.info("waiting for %s, which fetches %s into %s", holder, name, root)
                told = True
        time.sleep(_PAUSE)
