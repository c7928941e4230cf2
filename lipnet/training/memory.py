"""Memory that a step has let go of is kept for the next one."""

import contextlib
import ctypes
import os

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_memory() -> None:
    """Lets the process keep what it frees, in large pages; it must be called before torch has allocated anything.

    Otherwise each of a step's large tensors is mapped, filled with zeros page by page, and unmapped again, which takes
    up to a fifth of a step on a CPU. No number changes. It does nothing where the C library is not glibc.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by torch
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
