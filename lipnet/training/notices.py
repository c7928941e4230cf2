"""What makes training slow here, said before or early in a run."""

import logging
import shutil
from collections.abc import Iterator

import torch

from lipnet.runs.cores import available_cores
from lipnet.training import distributed

log = logging.getLogger("lipnet")

_LONG = 3600.0


def machine_notices() -> Iterator[str]:
    """One sentence for each thing that slows every run on this machine, with the remedy."""
    if not torch.set_flush_denormal(True):
        yield "this CPU cannot flush denormal numbers to zero; steps may slow down when activations get tiny."
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        reason = "it finds no device" if torch.backends.cuda.is_built() else "it is built without CUDA"
        yield f"there is an NVIDIA driver, but torch cannot use it ({reason}); runs use the CPU."


def thread_notices(threads: int, asked: bool) -> Iterator[str]:
    """What may make a run slow in the number of threads that it has.

    Args:
        asked: whether the user chose the number; what is few may be meant then, as in a sweep of parallel jobs.
    """
    available = available_cores()
    if threads > available:
        yield f"{threads} threads on {available} cores slow each other down; use threads={available}."
    elif threads < available and not asked:
        yield f"{threads} of {available} cores in use; threads={available} uses all (OMP_NUM_THREADS set the number)."


def log_notices(threads: int | None) -> None:
    """All of them, once a run has started; ``threads`` is what its configuration asks for."""
    alone = distributed.size() == 1  # torchrun gives each of several processes its share of the cores
    of_threads = thread_notices(torch.get_num_threads(), threads is not None) if alone else ()
    for notice in (*machine_notices(), *of_threads):
        log.warning("%s", notice)


def length_notice(seconds: float, device: torch.device, threads: int) -> str | None:
    """What to know when the rest of a run will take more than an hour.

    Args:
        seconds: what is left, by the epochs so far.
    """
    if seconds < _LONG:
        return None
    place = f"on {threads} CPU threads; a GPU is faster" if device.type == "cpu" else f"on {device}"
    return f"about {seconds / 3600:.1f} h to go {place}; Ctrl-C saves, and resume=DIR continues."
