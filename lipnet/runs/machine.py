"""The machine and the versions that a run depends on."""

import contextlib
import functools
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import torch

from lipnet import __version__
from lipnet.runs.cores import available_cores

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows
    resource = None


@functools.cache
def hardware() -> dict[str, str | int]:
    """What times depend on: the host and its name, processor, cores that this process may use, memory, CUDA device."""
    described: dict[str, str | int] = {
        "host": platform.node(),
        "cpu": _cpu_name(),
        "cores": available_cores(),
    }
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not on every system
        described["memory_bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return described | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what a figure depends on, and the machine's kind."""
    packages = ("torch", "torchvision", "hydra-core", "numpy")
    return {
        "lipnet": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{name: metadata.version(name) for name in packages},
    }


@functools.cache
def git_commit() -> str | None:
    """The checkout's commit, with ``-dirty`` where files differ from it; ``None`` outside a checkout."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None
    except OSError:  # no git here
        return None


def peak_memory_bytes(device: torch.device) -> int | None:
    """The largest memory so far: of the process on a CPU (``None`` on Windows), of the allocator on CUDA."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if resource is None:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
