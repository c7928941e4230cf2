"""What every task is given: where to write, on what to compute, who it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lipnet.results.record import git_commit, versions
from lipnet.schema import Config
from lipnet.training import distributed


@dataclass(frozen=True)
class Session:
    """One run's surroundings.

    Attributes:
        directory: the run directory.
        choices: group -> chosen option.
        overrides: what the user typed.
    """

    directory: Path
    device: torch.device
    choices: dict[str, str]
    overrides: list[str]
    config: Config

    @property
    def typed_keys(self) -> set[str]:
        """The keys of the overrides."""
        return {text.partition("=")[0].lstrip("+~") for text in self.overrides}

    @property
    def header(self) -> dict[str, Any]:
        """The part of ``results.json`` that is known before anything is computed."""
        return {
            "task": self.config.task.name,
            "choices": self.choices,
            "overrides": self.overrides,
            "seed": self.config.seed,
            "git_commit": git_commit(),
            "versions": versions(),
            "device": str(self.device),
            "processes": distributed.size(),
            "threads": torch.get_num_threads(),
        }
