"""``outputs/latest``: the last run, or the last sweep."""

import contextlib
import os
from pathlib import Path


def link_latest(directory: Path, outputs: Path) -> None:
    """Points ``outputs/latest`` to a directory in ``outputs``; runs elsewhere leave it as it is."""
    directory, outputs = directory.resolve(), outputs.resolve()
    if not directory.is_relative_to(outputs) or directory == outputs:
        return
    temporary = outputs / f".latest.{os.getpid()}"
    with contextlib.suppress(OSError):  # a file system without links, or a folder called latest
        temporary.symlink_to(directory.relative_to(outputs))
        os.replace(temporary, outputs / "latest")
    temporary.unlink(missing_ok=True)
