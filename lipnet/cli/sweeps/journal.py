"""What became of each job of a sweep: ``jobs.jsonl`` in its directory, a line a job and launch.

Jobs may run in other processes and on other machines, so that only files can tell. A line is written by one append.
"""

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from lipnet.runs.commands import tool
from lipnet.runs.files import read_results

FILE = "jobs.jsonl"
VARIABLE = "LIPNET_SWEEP"  # Hydra sets it for each job


def launched() -> tuple[str, int]:
    """The launch that this job belongs to, and how many jobs that has."""
    name, _, jobs = os.environ.get(VARIABLE, ":1").partition(":")
    return name, int(jobs)


@dataclass(frozen=True)
class Entry:
    """The end of a job.

    Attributes:
        launch: the launch's name.
        job: its number, from 1.
        outcome: completed, skipped, busy, failed or stopped.
        before: what was there: new, unfinished, failed, completed.
        reason: of a failure.
    """

    launch: str
    job: int
    directory: str
    outcome: str
    before: str
    reason: str = ""


def append(sweep: Path, entry: Entry) -> None:
    """Adds a line; processes that append at the same time do not mix theirs."""
    sweep.mkdir(parents=True, exist_ok=True)
    file = os.open(sweep / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, (json.dumps(asdict(entry)) + "\n").encode())
    finally:
        os.close(file)


def read(sweep: Path, launch: str) -> list[Entry]:
    """The entries of one launch, by job; of a job that was requeued, the last one."""
    try:
        lines = (sweep / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found = {}
    for line in lines:
        try:
            entry = Entry(**json.loads(line))
        except (ValueError, TypeError, RecursionError):  # cut off by a full disk
            continue
        if entry.launch == launch:
            found[entry.job] = entry
    return [found[job] for job in sorted(found)]


def before(directory: Path) -> str:
    """What an earlier launch left of a job: new, unfinished, failed or completed."""
    status = read_results(directory).get("status")
    if status:
        return str(status)
    return "unfinished" if (directory / "checkpoints").is_dir() else "new"


def closing_lines(sweep: Path, entries: list[Entry], jobs: int) -> str:
    """How many jobs of each kind, why jobs failed, and what to do next."""
    kinds = Counter(map(_kind, entries))
    missing = jobs - len(entries)
    counts = [f"{count} {kind}" for kind, count in kinds.items()]
    counts += [f"{missing} not run to an end"] if missing else []
    lines = [f"sweep of {jobs} {'job' if jobs == 1 else 'jobs'} in {sweep}: {', '.join(counts)}"]
    lines += [f"  failed: {entry.directory}: {entry.reason}" for entry in entries if entry.outcome == "failed"]
    if missing or any(entry.outcome not in ("completed", "skipped") for entry in entries):
        lines.append("The same command goes on from here: it skips completed jobs, and continues or starts the others.")
    return "\n".join([*lines, f"The table: {tool('lipnet-results', sweep)}"])


def _kind(entry: Entry) -> str:
    if entry.outcome == "skipped":
        return "completed before and skipped"
    if entry.outcome == "busy":
        return "running in another process"
    if entry.outcome == "completed" and entry.before in ("unfinished", "failed"):
        return f"completed (it was {entry.before})"
    return entry.outcome
