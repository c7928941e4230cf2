"""One launch of a sweep, from the command line to its closing lines."""

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from lipnet.cli.paths import path_override
from lipnet.cli.sweeps import journal


@dataclass(frozen=True)
class Launch:
    """A launch of a sweep.

    Attributes:
        name: different for every launch.
        directory: the sweep's.
        keys: in which its jobs differ.
        jobs: how many there are.
    """

    name: str
    directory: Path
    keys: list[str]
    jobs: int

    @property
    def overrides(self) -> list[str]:
        """Of Hydra's own keys: where the sweep goes, how its jobs are called, and how they know their launch."""
        return [
            path_override("hydra.sweep.dir", self.directory),
            f"hydra.sweep.subdir='${{lipnet.job_name:{','.join(self.keys)}}}'",
            f"+hydra.job.env_set.{journal.VARIABLE}='{self.name}:{self.jobs}'",
        ]

    def run(self, program: Callable[[], Any]) -> None:
        """Runs the sweep; its last lines say what became of the jobs, however it ends. Exit code 1 if any failed."""
        previous = signal.signal(signal.SIGTERM, _stop)
        try:
            program()
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
        finally:
            signal.signal(signal.SIGTERM, previous)
            entries = journal.read(self.directory, self.name)
            print(journal.closing_lines(self.directory, entries, self.jobs), flush=True)
        if any(entry.outcome == "failed" for entry in entries):
            sys.exit(1)


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
