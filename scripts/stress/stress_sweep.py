"""Kills a sweep at random moments, launches it again each time, and compares the end with an undisturbed sweep.

    python scripts/stress/stress_sweep.py --kills 10

Three convolutions by two seeds on the digits, small networks. SIGKILL, SIGTERM and SIGINT come at random moments; a
sweep that ends before its next kill is compared, and another one begun. Compared are the table, and of each job the
weights, metrics and results, all but times and the commit. Exit code 1 if anything differs.
"""

import argparse
import collections
import contextlib
import csv
import gc
import hashlib
import io
import json
import os
import random
import re
import runpy
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401
import torch

from lipnet.display.canvas import blank_figure
from lipnet.results.__main__ import main as print_table
from lipnet.tasks.robustness import task  # noqa: F401

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
blank_figure()  # matplotlib is imported once, before the forks
OVERRIDES = (
    "conv=bcop,rko,l2ne", "seed=0,1", "epochs=3", "dataset.limit_train=200", "dataset.limit_test=20", "batch_size=20",
    "model.channels=[4,4]", "model.hidden=[8]", "attack.steps=2", "attack.restarts=1", "attack.ddn_steps=5",
    "threads=1", "device=cpu", "progress=off",
)  # fmt: skip
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# Names, or parts of them, of what depends on when a job ran, and with which state of the checkout.
CIRCUMSTANCES = ("seconds", "started", "samples_per_second", "peak_memory_bytes", "train_s", "git_commit")


def main() -> None:
    """Runs the comparison, and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the signals")
    parser.add_argument("--folder", type=Path, help="an empty or new folder; a temporary one if not given")
    arguments = parser.parse_args()
    arguments.folder = arguments.folder or Path(tempfile.mkdtemp(prefix="lipnet-sweep-"))
    chance = random.Random(arguments.seed)
    gc.freeze()  # children whose garbage collections went through all of it would copy its memory
    started = time.monotonic()
    if wait(launch(arguments.folder / "undisturbed")) != 0:
        sys.exit(f"the undisturbed sweep failed: see {arguments.folder / 'undisturbed.log'}")
    seconds = time.monotonic() - started
    expected = outcome(arguments.folder / "undisturbed")
    print(f"undisturbed: {len(expected) - 1} jobs in {seconds:.0f} s", flush=True)
    kills: collections.Counter[str] = collections.Counter()
    differences = rounds = 0
    while kills.total() < arguments.kills:
        rounds += 1
        folder = arguments.folder / f"killed-{rounds}"
        while kills.total() < arguments.kills and (name := kill_one(folder, chance, seconds)):
            kills[name] += 1
        if wait(launch(folder)) != 0:
            sys.exit(f"a sweep launched again failed: see {folder}.log")
        print(*closing_lines(folder), sep="\n")
        found = outcome(folder)
        wrong = [key for key in {**expected, **found} if expected.get(key) != found.get(key)]
        differences += len(wrong)
        print("the same as undisturbed" if not wrong else f"different: {', '.join(wrong)}", flush=True)
    counted = ", ".join(f"{count} {name}" for name, count in sorted(kills.items()))
    print(f"{kills.total()} kills ({counted}) in {rounds} sweeps: {differences} differences")
    sys.exit(differences > 0)


def kill_one(folder: Path, chance: random.Random, seconds: float) -> str:
    """Launches a sweep and kills it; the signal's name, or nothing if the sweep ended first."""
    child = launch(folder)
    number, deadline = chance.choice(SIGNALS), time.monotonic() + chance.uniform(0.02, 0.4) * seconds
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            wait(child)
            return ""
        time.sleep(0.01)
    os.kill(child, number)
    wait(child)
    return number.name


def launch(folder: Path) -> int:
    """Starts the sweep in a fork, which saves importing torch; its output goes to a log beside the folder."""
    child = os.fork()
    if child:
        return child
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(f"{folder}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    sys.argv = [str(TRAIN), "-m", *OVERRIDES, f"hydra.sweep.dir={folder}"]
    code = 99
    with contextlib.suppress(BaseException):
        try:
            runpy.run_path(str(TRAIN), run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def wait(child: int) -> int:
    """The exit code of a fork; -N for one that signal N killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def closing_lines(folder: Path) -> list[str]:
    """What each launch said of its jobs, as far as it could."""
    return re.findall(r"^sweep of .*$", Path(f"{folder}.log").read_text(), re.MULTILINE)


def outcome(folder: Path) -> dict[str, Any]:
    """The table, and each job's weights, metrics and results; nothing of the circumstances."""
    jobs = sorted(path for path in folder.iterdir() if path.is_dir())
    return {"table": table(folder), **{job.name: job_outcome(job) for job in jobs}}


def table(folder: Path) -> str:
    """The table over the folder's runs, without its columns of seconds."""
    text, complaints = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(complaints):
        print_table([str(folder), "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    kept = [{key: value for key, value in row.items() if not key.startswith(CIRCUMSTANCES)} for row in rows]
    lines = [",".join(kept[0]), *(",".join(row.values()) for row in kept)]
    unfinished = [line for line in complaints.getvalue().splitlines() if str(folder) in line]
    return "\n".join([*lines, *unfinished])


def job_outcome(job: Path) -> dict[str, Any]:
    """One job's part of it."""
    results = json.loads((job / "results.json").read_text())
    with open(job / "metrics.csv", newline="") as file:
        metrics = [{key: value for key, value in row.items() if "time" not in key} for row in csv.DictReader(file)]
    weights = {name: digest(job / "checkpoints" / f"{name}.pt") for name in ("last", "best")}
    return {
        "results": {key: value for key, value in results.items() if not any(part in key for part in CIRCUMSTANCES)},
        "metrics": metrics,
        "certificates": (job / "certificates.csv").read_text(),
        "weights": weights,
    }


def digest(path: Path) -> str:
    """Of a checkpoint's weights."""
    weights = torch.load(path, weights_only=True)["model"]
    parts = (tensor.contiguous().numpy().tobytes() for tensor in weights.values())
    return hashlib.sha256(b"".join(parts)).hexdigest()


if __name__ == "__main__":
    main()
