"""A full disk or a lost permission: one message, and the run can go on once it is mended."""

import errno
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("lipnet")

_NUMBERS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG,  # full
    errno.EACCES, errno.EPERM, errno.EROFS,  # not allowed
    errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO,  # gone
)  # fmt: skip


@contextmanager
def silent_writers() -> Iterator[None]:
    """While active, an OSError of the log file or of TensorBoard's thread prints no traceback of its own.

    Neither is lost: the disk that failed them fails the next checkpoint, and TensorBoard's writer raises it again in
    the thread that called it.
    """
    raising, hook = logging.raiseExceptions, threading.excepthook

    def others(arguments: threading.ExceptHookArgs) -> None:
        if not issubclass(arguments.exc_type, OSError):
            hook(arguments)

    logging.raiseExceptions, threading.excepthook = False, others
    try:
        yield
    finally:
        logging.raiseExceptions, threading.excepthook = raising, hook


@contextmanager
def dispensable(what: str, directory: Path) -> Iterator[None]:
    """For figures and other copies of what ``results.json`` holds: where they fail, the run says so and goes on.

    A full disk or a lost permission in the run directory is raised all the same: the run can go on once it is mended.
    """
    try:
        yield
    except Exception as error:
        if storage_problem(error, directory) and Path(getattr(error, "filename", None) or directory).is_relative_to(
            directory
        ):
            raise
        log.warning("%s: left out (%s: %s)", what, type(error).__name__, " ".join(str(error).split())[:300])


def storage_problem(error: BaseException, directory: Path) -> str | None:
    """What to tell a user whose disk or permissions ended a run in ``directory``; ``None`` for any other error."""
    if not isinstance(error, OSError) or error.errno not in _NUMBERS:
        return None
    return f"{error.filename or directory}: {error.strerror}; what was written to {directory} before is kept"
