"""What every task is given: where to write, on what to compute, who it is."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from lipnet.options.config import Config
from lipnet.runs.identity import digest
from lipnet.runs.machine import git_commit, hardware, versions
from lipnet.runs.record import now
from lipnet.tasks.results import Header
from lipnet.training import distributed


@dataclass(frozen=True)
class Session:
    """One run's surroundings.

    Attributes:
        directory: the run directory.
        choices: group -> chosen option.
        overrides: what the user typed.
        started: when, in UTC.
    """

    directory: Path
    device: torch.device
    choices: dict[str, str | None]
    overrides: list[str]
    config: Config
    started: str = field(default_factory=lambda: now().isoformat(timespec="milliseconds"))

    @property
    def typed_keys(self) -> set[str]:
        """The keys of the overrides."""
        return {text.partition("=")[0].lstrip("+~") for text in self.overrides}

    @property
    def header(self) -> Header:
        """The part of ``results.json`` that is known before anything is computed."""
        return {
            "task": self.config.task.name,
            "choices": self.choices,
            "overrides": self.overrides,
            "configuration": digest(self.config),
            "rerun_of": self.config.rerun,
            "seed": self.config.seed,
            "started": self.started,
            "git_commit": git_commit(),
            "versions": versions(),
            "hardware": hardware(),
            "device": str(self.device),
            "processes": distributed.size(),
            "threads": torch.get_num_threads(),
        }
