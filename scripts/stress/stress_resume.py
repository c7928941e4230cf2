#!/usr/bin/env python
"""Ends training at random moments in bad ways, and resumes it: the end must be that of a run that was never stopped.

    python scripts/stress/stress_resume.py                              # 100 kills, a quarter of an hour on one core
    python scripts/stress/stress_resume.py --kills 3 --tasks robustness

A run is killed a few times, each time in a way drawn at random, and then left to finish. Half of the signals strike at
a random time, half just before a random file operation, where the gaps are a few microseconds wide. Then parameters,
optimizer and generator states, metrics.csv, certificates, TensorBoard's curves and results.json (but for times) must
equal the uninterrupted run's, bit for bit; whenever a directory claims to be complete it must be that already. A full
disk is a small tmpfs where the user may mount one; a limit on the size of files needs no rights.

Runs are forked from one process that has imported torch and computed nothing. TensorBoard orders the event files of a
run by the second in which they were made, so attempts are a second apart, as those of real processes are.
"""

import argparse
import collections
import contextlib
import csv
import gc
import hashlib
import itertools
import json
import logging
import os
import random
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lipnet.display.canvas import blank_figure
from lipnet.runs import checkpoint
from lipnet.runs.machine import git_commit
from lipnet.tasks.robustness import task as robustness
from lipnet.tasks.wasserstein import task as wasserstein

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
COMMON = ("epochs=4", "batch_size=16", "optimizer.lr=0.03", "progress=off", "threads=1", "device=cpu")
ARGUMENTS = {
    "robustness": (
        "dataset.limit_train=60", "dataset.limit_test=16", "model.channels=[4,4]", "model.hidden=[8]", "attack.steps=2",
        "attack.ddn_steps=10", "singular_values_every=1", "eval_radii=[36/255,0.3]", *COMMON,
    ),
    "private": (
        "task=private", "task.public_validation=true", "task.noise_seed=3", "task.accountant=rdp",
        "dataset.limit_train=60", "dataset.limit_test=16", "model.channels=[4,4]", "model.hidden=[8]",
        "attack.names=[fgsm]", *COMMON,
    ),
    "wasserstein": (
        "task=wasserstein", "dataset=three_cones", "dataset.steps_per_epoch=8", "dataset.selection_samples=200",
        "dataset.evaluation_samples=300", "estimate.transport_samples=100", "model.hidden=[8,8]",
        "singular_values_every=2", *COMMON,
    ),
}  # fmt: skip
VOLATILE = ("seconds", "epoch_seconds", "train_seconds", "eval_seconds", "attack_seconds", "samples_per_second",
            "peak_memory_bytes", "overrides", "git_commit", "resume", "started", "wall_seconds")  # fmt: skip
FIGURES = (  # half of a tiny run's time: files of their names are written, and empty
    (robustness, "accuracy_against_radius"), (robustness, "adversarial_examples"), (wasserstein, "wasserstein_figure"),
)  # fmt: skip
EMPTY = blank_figure(figsize=(1, 1))  # matplotlib is imported once, before the forks
ROOM = 2**26  # bytes on the small file system while nothing is wrong
PROBE = 2**16  # bytes that a start asks for
LOG = 2**13  # bytes that a run prints at most: its limit on files holds for them too
KINDS = ("SIGKILL", "SIGTERM", "SIGINT", "full disk", "file size limit", "no permission", "damaged last.pt",
         "damaged best.pt", "all checkpoints damaged")  # fmt: skip
WEIGHTS = (5, 3, 3, 3, 2, 2, 4, 1, 1)
NOBODY = 65534
OPERATIONS = itertools.count(1)  # of this process
START_ANEW = "no checkpoint to continue from; delete it to start anew"


class Violation(Exception):
    """The program broke a promise."""


@dataclass
class Reference:
    """What an uninterrupted run of a task is like."""

    outcome: dict[str, Any]
    names: set[str]
    seconds: float
    operations: int
    size: int
    largest: int


@dataclass
class Attempt:
    """One process: how it ended, all that it printed, and what ended it where that is not what was planned."""

    code: int
    output: str
    kind: str = ""


def in_child(arguments: list[str], arm: Callable[[], None]) -> int:
    """Runs ``train.py`` in this (forked) process; its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    for owner, name in FIGURES:
        setattr(owner, name, lambda *_: EMPTY)
    sys.argv = [str(TRAIN), *arguments]
    try:
        arm()
        runpy.run_path(str(TRAIN), run_name="__main__")
        return 0
    except SystemExit as stop:
        return int(stop.code or 0)
    except KeyboardInterrupt:
        print("KeyboardInterrupt")
        return 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
        return 99
    finally:
        print(f"file operations: {next(OPERATIONS) - 1}")


def attempt(arguments: list[str], arm: Callable[[], None], strikes: list[tuple[float, int]] | None = None) -> Attempt:
    """Forks one run. ``arm`` prepares what happens within it; ``strikes`` are (seconds, signal) from outside."""
    with tempfile.TemporaryFile() as log:
        child = os.fork()
        if not child:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            code = in_child(arguments, arm)
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
        status = _strike(child, strikes or [])
        log.seek(0)
        output = log.read().decode(errors="replace")
    time.sleep(1 - time.time() % 1)
    return Attempt(os.waitstatus_to_exitcode(status), output)


def _strike(child: int, strikes: list[tuple[float, int]]) -> int:
    for seconds, number in strikes:
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
            time.sleep(min(0.005, max(0.0, limit - time.monotonic())))
        os.kill(child, number)
    return os.waitpid(child, 0)[1]


def at_operation(directory: Path, count: int, action: Callable[[], None]) -> None:
    """Calls ``action`` in this process just before its ``count``-th change of a file below ``directory``."""
    within = str(directory)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event in ("os.rename", "os.remove", "os.mkdir")
        writes |= event == "open" and isinstance(arguments[1], str) and arguments[1][:1] in "wax"
        if writes and str(arguments[0]).startswith(within) and next(OPERATIONS) == count:
            action()

    sys.addaudithook(watch)


def outcome_of(directory: Path) -> dict[str, Any]:
    """All that must be the same, to the bit, for two runs of one configuration, by name."""
    found = {}
    for name in ("last", "best"):
        found |= dict(_flat(checkpoint.load(directory / "checkpoints" / f"{name}.pt"), f"{name}.pt"))
    for path in directory.glob("*.csv"):
        with open(path, newline="") as file:
            for number, row in enumerate(csv.DictReader(file)):
                kept = {key: value for key, value in row.items() if not key.startswith("time_")}
                found[f"{path.name} row {number}"] = kept
    found |= dict(_flat(json.loads((directory / "results.json").read_text()), "results.json"))
    kinds = ("scalars", "histograms", "images", "tensors")
    curves = EventAccumulator(str(directory), size_guidance=dict.fromkeys(kinds, 0)).Reload()
    for tag in curves.Tags()["scalars"]:
        if not tag.startswith("time/"):
            found[f"TensorBoard {tag}"] = [(point.step, point.value) for point in curves.Scalars(tag)]
    for kind in kinds[1:]:
        for tag in curves.Tags()[kind]:
            steps = [point.step for point in getattr(curves, kind.capitalize())(tag)]
            # This reader drops what a restart repeats, but for texts; TensorBoard's own shows the last of a step.
            found[f"TensorBoard {tag}"] = sorted(set(steps)) if kind == "tensors" else steps
    return found


def _flat(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key not in VOLATILE:
                yield from _flat(value, f"{path} {key}")
    elif isinstance(node, torch.Tensor):
        yield path, f"{tuple(node.shape)} {hashlib.sha256(node.contiguous().numpy().tobytes()).hexdigest()}"
    else:
        yield path, node


def names_in(directory: Path) -> set[str]:
    """Files and folders of a run, event files aside: there is one for each attempt."""
    names = {str(path.relative_to(directory)) for path in directory.rglob("*")}
    return {name for name in names if not name.startswith("events.out.tfevents")}


def is_complete(directory: Path) -> bool:
    """Whether the directory claims to be a finished run."""
    results = directory / "results.json"
    return results.is_file() and json.loads(results.read_text()).get("status") == "completed"


def damage(path: Path, chance: random.Random) -> None:
    """What crashes, copies and bad disks do to a file."""
    content = path.read_bytes()
    place = chance.randrange(len(content))
    how = chance.choice(("cut", "empty", "zeros", "zeros inside", "flipped bit", "missing"))
    if how == "missing":
        path.unlink()
        return
    path.write_bytes({
        "cut": content[:place],
        "empty": b"",
        "zeros": bytes(len(content)),
        "zeros inside": content[:place] + bytes(len(content[place : place + 4096])) + content[place + 4096 :],
        "flipped bit": content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :],
    }[how])  # fmt: skip


class Stress:
    """Runs, kills and comparisons below one folder, which is a file system of its own where that can be mounted."""

    def __init__(self, folder: Path, chance: random.Random, mounted: bool) -> None:
        self.folder, self.chance, self.mounted = folder, chance, mounted
        self.kills: collections.Counter[str] = collections.Counter()
        self.tasks: collections.Counter[str] = collections.Counter()
        self.violations: collections.Counter[str] = collections.Counter()
        self.runs = self.resumed = self.anew = self.fallbacks = 0
        self.references: dict[str, Reference] = {}

    def refer(self, task: str) -> None:
        """Makes the uninterrupted run that others are compared with."""
        directory = self.folder / f"{task}-uninterrupted"
        started = time.perf_counter()
        done = attempt([*ARGUMENTS[task], f"hydra.run.dir={directory}"], lambda: at_operation(directory, 0, _nothing))
        seconds = time.perf_counter() - started
        if done.code:
            raise SystemExit(f"the uninterrupted run failed:\n{done.output}")
        operations = int(done.output.rpartition("file operations: ")[2])
        sizes = [path.stat().st_size for path in directory.rglob("*")]
        found = outcome_of(directory), names_in(directory)
        self.references[task] = Reference(*found, seconds, operations, sum(sizes), max(sizes))
        print(f"{task}, uninterrupted: {seconds:.1f} s, {operations} file operations, {sum(sizes):,} bytes", flush=True)

    def one_run(self, task: str, kills: int) -> int:
        """Starts a run, kills it up to so many times, lets it finish, and compares; how many kills struck."""
        self.runs += 1
        directory = self.folder / f"{task}-{self.runs}"
        history: list[str] = []
        try:
            while not is_complete(directory):
                kind = self._kind() if len(history) < kills else ""
                done = self._attempt(task, directory, kind)
                if done.code and kind:
                    history.append(done.kind or kind)
                self._check(task, directory, kind, done, history)
            self._compare(task, directory)
        except Violation as violation:
            self.violations[history[-1] if history else "none"] += 1
            print(f"VIOLATION in {directory}, after {', '.join(history) or 'no kill'}:\n  {violation}", flush=True)
        else:
            shutil.rmtree(directory)
        self.kills.update(history)
        self.tasks[task] += len(history)
        return len(history)

    def _kind(self) -> str:
        while True:
            (kind,) = self.chance.choices(KINDS, WEIGHTS)
            if kind != "full disk" or self.mounted:
                return kind

    def _attempt(self, task: str, directory: Path, kind: str) -> Attempt:
        reference, chance = self.references[task], self.chance
        arguments = [*ARGUMENTS[task], f"hydra.run.dir={directory}"]
        if started(directory):
            arguments = [f"resume={directory}"]
            self.resumed += bool(kind)
        count, wait = chance.randint(1, reference.operations), chance.uniform(0, reference.seconds)
        number = getattr(signal, kind if kind.startswith("SIG") else "SIGKILL")
        if not kind:
            return attempt(arguments, _nothing)
        if kind == "full disk":
            with self._room(used_in(self.folder) + chance.randrange(PROBE + reference.size)):
                return attempt(arguments, _nothing)
        if kind == "file size limit":
            limit = chance.randrange(LOG, reference.largest)
            return attempt(arguments, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        if kind == "no permission":
            with _unprivileged(directory):
                return attempt(arguments, lambda: _lose_permission(directory, count))
        damages = not kind.startswith("SIG")  # which takes a checkpoint: there is none while the program starts
        if damages or chance.random() < 0.5:
            done = attempt(arguments, lambda: at_operation(directory, count, lambda: os.kill(os.getpid(), number)))
        else:
            again = [(chance.uniform(0, 0.3), number)] if kind != "SIGKILL" and chance.random() < 0.3 else []
            done = attempt(arguments, _nothing, [(wait, number), *again])
        if done.code and damages:
            hit = not is_complete(directory) and self._damage(directory / "checkpoints", kind)
            done.kind = kind if hit else "SIGKILL"
        return done

    def _damage(self, folder: Path, kind: str) -> bool:
        """Damages the checkpoints of this kind that are there; whether there were any."""
        found = False
        names = ("last", "previous") if kind.startswith("all") else (kind.split()[1].removesuffix(".pt"),)
        for name in names:
            if (folder / f"{name}.pt").exists() and (folder / f"{name}.pt").stat().st_size:  # not empty already
                damage(folder / f"{name}.pt", self.chance)
                found = True
        return found

    @contextlib.contextmanager
    def _room(self, size: int) -> Iterator[None]:
        """The small file system has this size, in whole pages, for a while."""
        page = resource.getpagesize()
        try:
            _mount(self.folder, -(-size // page) * page, "remount")
            yield
        finally:
            _mount(self.folder, ROOM, "remount")

    def _check(self, task: str, directory: Path, kind: str, done: Attempt, history: list[str]) -> None:
        """What one attempt said and left behind."""
        self.fallbacks += "Falling back to" in done.output
        said = done.output.count("lipnet: ")
        early = "KeyboardInterrupt" in done.output and "INFO" not in done.output  # before the program has begun
        if "Traceback" in done.output and not early:
            raise Violation(f"a traceback\n{done.output}")
        if is_complete(directory):
            return self._compare(task, directory)  # also where it was killed after its last word
        if not done.code:
            raise Violation(f"exit code 0, and no complete results\n{done.output}")
        if START_ANEW in done.output and any(name.endswith(("damaged", ".pt")) for name in history):
            self.anew += 1
            shutil.rmtree(directory / "checkpoints")
        elif kind in ("full disk", "file size limit", "no permission"):
            if (done.code, said) != (1, 1):
                raise Violation(f"exit code {done.code} and {said} messages\n{done.output}")
        elif not kind:
            raise Violation(f"cannot be resumed: exit code {done.code}\n{done.output}")
        elif kind in ("SIGTERM", "SIGINT"):
            number = signal.Signals[kind]
            if done.code not in (128 + number, -number):
                raise Violation(f"exit code {done.code}\n{done.output}")
            goes_on = done.code > 0 and not early and (directory / "checkpoints").is_dir()
            if goes_on and f"resume={directory}" not in done.output:
                raise Violation(f"does not say how to continue\n{done.output}")

    def _compare(self, task: str, directory: Path) -> None:
        reference = self.references[task]
        found = outcome_of(directory)
        wrong = [key for key in {**found, **reference.outcome} if found.get(key) != reference.outcome.get(key)]
        left = names_in(directory) - reference.names - {"checkpoints/previous.pt"}
        if left:
            raise Violation(f"left behind: {', '.join(sorted(left))}")
        if wrong:
            shown = "\n".join(f"    {key}: {found.get(key)!r}, not {reference.outcome.get(key)!r}" for key in wrong[:5])
            raise Violation(f"{len(wrong)} of {len(found)} values differ\n{shown}")

    def report(self) -> bool:
        """Prints the counts; whether no promise was broken."""
        print(f"\n{'way to go':<26}{'kills':>6}{'violations':>12}")
        for kind in KINDS:
            if self.kills[kind] or self.violations[kind]:
                print(f"{kind:<26}{self.kills[kind]:>6}{self.violations[kind]:>12}")
        print(f"{'all':<26}{self.kills.total():>6}{self.violations.total():>12}")
        by_task = ", ".join(f"{count} in task={task}" for task, count in self.tasks.items())
        print(f"{by_task}; {self.runs} runs, each then finished and compared")
        print(f"{self.fallbacks} fell back to previous.pt; {self.anew} started anew, as the program said")
        return not self.violations


def _nothing() -> None:
    pass


def started(directory: Path) -> bool:
    """Whether there is something to resume; before that, the same command is given again.

    Raises:
        Violation: there are checkpoints that ``resume=`` will not find.
    """
    saved = directory / ".hydra" / "overrides.yaml"
    found = saved.is_file() and saved.stat().st_size > 0
    if not found and (directory / "checkpoints").exists():
        raise Violation(f"{saved} is missing or empty")
    return found


def used_in(folder: Path) -> int:
    """Bytes of a file system that are taken."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


@contextlib.contextmanager
def _unprivileged(directory: Path) -> Iterator[None]:
    """The run belongs to a user whose permissions count, and is writable again at the end."""
    privileged = os.geteuid() == 0
    directory.mkdir(exist_ok=True)
    try:
        for path in (directory, *directory.rglob("*")) if privileged else ():
            os.chown(path, NOBODY, NOBODY)
        yield
    finally:
        for path in (directory, *directory.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


def _lose_permission(directory: Path, count: int) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)

    def forbid() -> None:
        for path in (directory, *directory.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)

    at_operation(directory, count, forbid)


def _mount(folder: Path, size: int, *options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", ",".join((f"size={size}", "mode=0755", *options)), "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextlib.contextmanager
def small_file_system(folder: Path) -> Iterator[bool]:
    """A tmpfs at ``folder``, and whether there is one."""
    try:
        _mount(folder, ROOM)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or error
        print(f"no tmpfs here ({' '.join(str(reason).split())}): the disk is never full, files are limited in size")
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def main() -> int:
    """Prints the uninterrupted runs, every violation as it is found, and the counts; 1 if there was a violation."""
    arguments = _arguments()
    chance = random.Random(arguments.seed)
    torch.set_num_threads(1)
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of each restart
    git_commit()  # kept by the process: children need not ask git
    gc.freeze()  # children whose garbage collections went through all of it would copy its memory
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name, small_file_system(Path(name)) as mounted:
        os.chmod(name, 0o755)
        stress = Stress(Path(name), chance, mounted)
        for task in arguments.tasks:
            stress.refer(task)
        left = arguments.kills
        while left > 0:
            task = arguments.tasks[0] if chance.random() < 0.7 else arguments.tasks[-1]
            left -= stress.one_run(task, min(left, chance.randint(1, 5)))
            print(f"{stress.kills.total()} kills, {time.perf_counter() - began:.0f} s", flush=True)
        return 0 if stress.report() else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn; times remain the machine's")
    parser.add_argument("--tasks", nargs="+", choices=list(ARGUMENTS), default=list(ARGUMENTS))
    parser.add_argument("--folder", type=Path, help="where the temporary folder of runs is made")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
