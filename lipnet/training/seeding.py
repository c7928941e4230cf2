"""A clean process state at the start of each run: several runs of a sweep share one process."""

import contextlib
import random
from pathlib import Path

import numpy
import torch

from lipnet.errors import UserError
from lipnet.randomness import stream_seed

_CORES = torch.get_num_threads()  # as the process started, before any run changed it


def start_clean(seed: int, threads: int | None) -> None:
    """Seeds every generator, and resets threads, dtype, precision and peak memory to what this run asks for."""
    random.seed(stream_seed(seed, "Python's generator"))
    numpy.random.seed(stream_seed(seed, "numpy's generator", bits=32))
    torch.manual_seed(stream_seed(seed, "initial weights"))  # and what layers and losses draw in training
    torch.set_num_threads(threads or _CORES)
    torch.set_default_dtype(torch.float32)
    torch.set_flush_denormal(True)  # denormal activations can slow a CPU fifty-fold
    torch.backends.cuda.matmul.allow_tf32 = False  # 10-bit products are not orthogonal
    torch.backends.cudnn.allow_tf32 = False
    _forget_peak_memory()


def choose_device(device: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda``."""
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise UserError("device=cuda: torch finds no CUDA device here; use device=cpu or device=auto.")
    return torch.device("cuda" if available and device != "cpu" else "cpu")


def _forget_peak_memory() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/clear_refs").write_text("5")
