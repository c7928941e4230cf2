"""Jobs of a comparison: each a process of its own, in a folder of its own, skipped where it is done before."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lipnet.errors import UserError
from lipnet.runs.commands import path_override
from lipnet.runs.files import read_results, write_atomically

_TOLD = 3  # last lines of a failed job that are shown
_RUNNING: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        directory: of the run.
        overrides: what is trained.
    """

    directory: Path
    overrides: list[str]

    def results(self) -> dict[str, Any]:
        """``results.json`` of the completed run; empty before that."""
        found = read_results(self.directory)
        return found if found.get("status") == "completed" else {}

    def command(self) -> list[str]:
        """Starts it, or continues it from its last checkpoint."""
        program = [sys.executable, "-m", "lipnet"]
        if (self.directory / "checkpoints" / "last.pt").exists():
            return [*program, path_override("resume", self.directory), "progress=off"]
        return [*program, *self.overrides, path_override("hydra.run.dir", self.directory), "progress=off"]


@dataclass(frozen=True)
class Pace:
    """A measurement of how fast a configuration trains, in a process of its own as the runs are."""

    directory: Path
    overrides: list[str]

    @property
    def file(self) -> Path:
        return self.directory / "pace.json"

    def results(self) -> dict[str, Any]:
        """What was measured; empty before that."""
        try:
            found = json.loads(self.file.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def command(self) -> list[str]:
        return [sys.executable, "-m", "lipnet.equal_time.pace", str(self.file), *self.overrides]


def run_jobs(jobs: list[Job] | list[Pace], at_a_time: int, what: str, hidden: bool | None = None) -> None:
    """Runs those that are not done, a few at a time; one that fails is said, and the others go on.

    Raises:
        UserError: a folder holds the run of another comparison, before anything is started.
        KeyboardInterrupt: after the jobs that were running have saved what they did.
    """
    for job in jobs:
        _claim(job)
    open_jobs = [job for job in jobs if not job.results()]
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(open_jobs), desc=what, unit="run", disable=hidden)
    with bar, ThreadPoolExecutor(at_a_time) as pool:
        started = {pool.submit(_run, job): job for job in open_jobs}
        try:
            for done in as_completed(started):
                problem = done.result()
                if problem:
                    bar.write(f"{started[done].directory} failed: {problem}", file=sys.stderr)
                bar.update()
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)  # the running ones have been told to save and end
            raise


def _claim(job: Job | Pace) -> None:
    """Notes in the job's folder what it is of: the same command goes on there, and no other one takes its results."""
    note = job.directory / "overrides.json"
    if not note.exists():
        write_atomically(note, lambda file: json.dump(job.overrides, file))
        return
    try:
        before = json.loads(note.read_bytes())
    except ValueError:
        before = None
    if before != job.overrides:
        was = " ".join(before) if isinstance(before, list) else "unreadable"
        raise UserError(f"{job.directory}: holds another run ({was}); choose another --directory, or delete it.")


def _run(job: Job | Pace) -> str:
    """Runs one to its end; returns what went wrong."""
    log = job.directory / "output.txt"
    with open(log, "ab") as file, subprocess.Popen(job.command(), stdout=file, stderr=file) as process:
        _RUNNING.add(process)
        code = process.wait()
        _RUNNING.discard(process)
    if code == 0 and job.results():
        return ""
    lines = log.read_text(errors="replace").splitlines()
    return " ".join(lines[-_TOLD:]) or f"exit code {code}"


def stop_jobs() -> None:
    """Tells those that are running to save what they did, and end."""
    for process in tuple(_RUNNING):
        process.terminate()
