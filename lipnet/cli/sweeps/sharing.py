"""What parallel jobs of a sweep must share: the cores and the terminal."""

import dataclasses
from typing import Any

from lipnet.options.config import Config
from lipnet.runs.cores import available_cores


def share(config: Config, launcher: Any, jobs: int) -> Config:
    """The configuration of one of ``jobs`` jobs: with its part of the cores and, beside others, without progress bars.

    Args:
        launcher: the composed ``hydra.launcher``.
    """
    parallel = _at_a_time(launcher, jobs)
    threads = config.threads or launcher.get("cpus_per_task")
    if parallel == 1:
        return dataclasses.replace(config, threads=threads)
    progress = "off" if config.progress == "auto" else config.progress
    return dataclasses.replace(config, threads=threads or max(1, available_cores() // parallel), progress=progress)


def _at_a_time(launcher: Any, jobs: int) -> int:
    if "n_jobs" in launcher:  # joblib: -1 is as many as there are cores, -2 one less
        wanted = launcher.n_jobs if launcher.n_jobs > 0 else max(1, available_cores() + 1 + launcher.n_jobs)
        return min(wanted, jobs)
    return jobs if "Local" in launcher._target_ else 1  # submitit_local starts all at once
