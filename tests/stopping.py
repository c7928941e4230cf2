"""Runs ``train.py`` in forked children and stops each at a chosen moment: ``python stopping.py ROUNDS.json``.

A round is a list of jobs, two of which run at a time; a job is ``{"arguments", "log", "moment", "count", "signal"}``:
after the ``count``-th call of the function that ``moment`` names, the child sends itself the signal; without a moment
it runs to its end. Prints the exit codes of each round's jobs, ``-N`` for a child that signal N killed. Forking saves
importing torch and composing for every job; nothing of torch is computed before the fork.
"""

import contextlib
import functools
import gc
import json
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401
from composed_before import kept

from lipnet import app  # noqa: F401
from lipnet.cli.arguments import prepare
from lipnet.display.canvas import blank_figure
from lipnet.runs import checkpoint
from lipnet.tasks import activations
from lipnet.tasks.online import rounds
from lipnet.tasks.robustness import task as robustness
from lipnet.training import tracker

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
EMPTY = blank_figure(figsize=(1, 1))  # matplotlib is imported once, before the forks
MOMENTS: dict[str, tuple[Any, str]] = {
    "data": (robustness, "load_splits"),  # loaded; no checkpoint yet
    "step": (robustness.Robustness, "step"),
    "validation": (robustness.Robustness, "validate"),  # its histograms are written, nothing is saved
    "best": (checkpoint, "save"),  # best.pt is written, last.pt is an epoch behind
    "row": (tracker.Tracker, "epoch"),  # in metrics.csv and TensorBoard, not yet in last.pt
    "last": (checkpoint, "save"),  # last.pt: the first time before any step, then after every epoch
    "attack": (robustness, "certify_and_attack"),
    "round": (rounds.Rounds, "_charge"),  # written in stream.csv, and learned by nobody yet
    "report": (robustness, "closing_table"),  # everything but results.json is written
}


def stop_after(moment: str, count: int, number: int) -> None:
    owner, name = MOMENTS[moment]
    original, calls = getattr(owner, name), iter(range(1, 10**6))

    @functools.wraps(original)
    def stopping(*args: Any, **kwargs: Any) -> Any:
        returned = original(*args, **kwargs)
        counts = name != "save" or args[0].name == f"{moment}.pt"
        if counts and next(calls) == count:
            os.kill(os.getpid(), number)
        return returned

    setattr(owner, name, stopping)


def run(job: dict[str, Any]) -> int:
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    for name in ("accuracy_against_radius", "adversarial_examples"):  # half of a tiny run's time, and no matter here
        setattr(robustness, name, lambda *_: EMPTY)
    activations.activations_figure = lambda network, _: EMPTY if activations.linear_regions(network) else None
    if job.get("moment"):
        stop_after(job["moment"], job["count"], signal.Signals[job["signal"]])
    sys.argv = [str(TRAIN), *job["arguments"]]
    try:
        runpy.run_path(str(TRAIN), run_name="__main__")
        return 0
    except SystemExit as stop:
        return int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        return 99


@contextlib.contextmanager
def ready(job: dict[str, Any]) -> Iterator[None]:
    """Within it, forked processes begin with what composing this job's configuration has read.

    Their garbage collections leave alone what they have of this process: going through it would copy its memory.
    """
    with kept():
        prepare(job["arguments"])
        gc.collect()
        gc.freeze()
        yield


def fork(job: dict[str, Any]) -> int:
    child = os.fork()
    if not child:
        code = run(job)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return child


def codes(jobs: list[dict[str, Any]], at_once: int = 2) -> list[int]:
    ended: dict[int, int] = {}
    children: list[int] = []

    def wait() -> None:
        child, status = os.wait()
        ended[child] = os.waitstatus_to_exitcode(status)

    for job in jobs:
        if len(children) - len(ended) == at_once:
            wait()
        children.append(fork(job))
    while len(ended) < len(children):
        wait()
    return [ended[child] for child in children]


if __name__ == "__main__":
    rounds = json.loads(Path(sys.argv[1]).read_text())
    with ready(rounds[0][0]):
        print(json.dumps([codes(jobs) for jobs in rounds]))
