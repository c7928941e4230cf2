import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from launching import ROOT, TINY, curves, launch, outcome_of, results, table

from lipnet.runs.files import read_csv
from lipnet.tasks.robustness.task import Robustness

pytestmark = pytest.mark.usefixtures("without_figures")
# The moments (see stopping.py) at which a run, and then each continuation of it, is stopped; 4 steps an epoch.
STOPS: dict[str, list[tuple[str, str, int]]] = {
    "in-epochs": [
        ("SIGKILL", "data", 1),
        ("SIGTERM", "step", 2),
        ("SIGKILL", "step", 4),  # in the second epoch; what was done since the end of the first is lost
        ("SIGINT", "step", 4),  # at the last step of the second epoch
    ],
    "in-evaluations": [("SIGTERM", "validation", 2), ("SIGTERM", "attack", 1), ("SIGINT", "report", 1)],
    "between-files": [("SIGKILL", "best", 1), ("SIGKILL", "row", 2), ("SIGKILL", "report", 1)],
    "after-checkpoints": [("SIGKILL", "validation", 2), ("SIGKILL", "last", 2), ("SIGINT", "last", 1)],
    "learned-shuffle": [("SIGTERM", "step", 4), ("SIGKILL", "step", 3), ("SIGINT", "step", 4)],  # soft, then fixed
    "average": [("SIGTERM", "step", 5), ("SIGKILL", "validation", 2)],
    "shufflenet": [("SIGTERM", "step", 5), ("SIGKILL", "validation", 2)],  # its normalisations count batches
    "schedule": [("SIGTERM", "step", 2), ("SIGKILL", "step", 3), ("SIGINT", "validation", 1)],  # of the loss's radius
}
# What such a run has in place of the network of TINY; its outcome is that of the uninterrupted run with the same.
OVERRIDES = {
    "learned-shuffle": (
        "model=large", "conv.groups=2", "shuffle=learned", "shuffle.harden=0.6", "model.channels=[4,4,4]",
        "model.kernel_sizes=[2,2,2]", "model.strides=[2,1,1]", "model.hidden=[8]",
    ),
    "average": ("averaging=0.9",),
    "schedule": ("loss=emma", "loss.per_pair=true", "model.head=normalized"),
    "shufflenet": (
        "model=shufflenet", "shuffle=learned", "shuffle.harden=0.6", "model.groups=2", "model.stem=4",
        "model.channels=[16,24]", "model.units=[1,1]",
    ),
}  # fmt: skip
TRAIN = ROOT / "train.py"  # not in the directory where it is called
CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}


def _train_py(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)


def _drive(rounds: list[dict[Any, dict[str, Any]]], folder: Path) -> dict[Any, int]:
    (folder / "jobs.json").write_text(json.dumps([list(jobs.values()) for jobs in rounds]))
    command = [sys.executable, str(ROOT / "tests" / "stopping.py"), str(folder / "jobs.json")]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, timeout=900, check=True)
    return {key: code for jobs, codes in zip(rounds, json.loads(done.stdout), strict=True)
            for key, code in zip(jobs, codes, strict=True)}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One uninterrupted run, and every row of STOPS stopped and continued to its end; with exit codes and outputs."""
    folder = tmp_path_factory.mktemp("resume")
    plans = {
        "straight": [],
        **{f"straight-{name}": [] for name in OVERRIDES},
        "interrupted": [("SIGINT", "step", 6)],
        **STOPS,
    }
    rounds = [
        {(name, number): _job(folder, name, number, stops) for name, stops in plans.items()
         if number <= len(stops) and (name, number) != ("interrupted", 1)}
        for number in range(1 + max(map(len, plans.values())))
    ]  # fmt: skip
    codes = _drive(rounds, folder)
    outputs = {key: Path(job["log"]).read_text() for jobs in rounds for key, job in jobs.items()}
    assert codes["straight", 0] == 0, outputs["straight", 0]
    return {"folder": folder, "codes": codes, "outputs": outputs}


def _chosen(name: str) -> list[str]:
    own = OVERRIDES.get(name.removeprefix("straight-"))
    return [*TINY] if own is None else [*(key for key in TINY if not key.startswith("model.")), *own]


def _straight(runs: dict[str, Any], name: str) -> Path:
    return runs["folder"] / (f"straight-{name}" if name in OVERRIDES else "straight")


def _job(folder: Path, name: str, number: int, stops: list[tuple[str, str, int]]) -> dict[str, Any]:
    arguments = [f"resume={folder / name}"] if number else [*_chosen(name), f"hydra.run.dir={folder / name}"]
    job: dict[str, Any] = {"arguments": arguments, "log": str(folder / f"{name}.{number}.txt")}
    stop = stops[number] if number < len(stops) else ()
    return job | dict(zip(("signal", "moment", "count"), stop, strict=False))


@pytest.mark.parametrize(("name", "number"), [(name, number) for name in STOPS for number in range(len(STOPS[name]))])
def test_a_stopped_run_says_how_to_continue(runs, name, number):
    signal_name, output = STOPS[name][number][0], runs["outputs"][name, number]
    assert runs["codes"][name, number] == CODES[signal_name], output
    if signal_name != "SIGKILL":
        assert f"stopped by {signal_name}; continue with: python {TRAIN} resume={runs['folder'] / name}" in output
        assert "Traceback" not in output


@pytest.mark.parametrize("name", STOPS)
def test_a_continued_run_ends_as_if_never_stopped(runs, name):
    assert runs["codes"][name, len(STOPS[name])] == 0, runs["outputs"][name, len(STOPS[name])]
    straight, stopped = _straight(runs, name), runs["folder"] / name
    assert outcome_of(stopped) == outcome_of(straight)


@pytest.mark.parametrize("name", STOPS)
def test_a_continued_run_has_no_doubled_curves(runs, name):
    assert curves(runs["folder"] / name) == curves(_straight(runs, name))


def test_nothing_temporary_is_left(runs):
    for name in STOPS:
        names = {path.name for path in _straight(runs, name).rglob("*")}
        extra = {path.name for path in (runs["folder"] / name).rglob("*")} - names
        assert all(entry.startswith("events.out.tfevents") for entry in extra), name


def test_seconds_add_up_over_attempts(runs):
    stopped = runs["folder"] / "in-epochs"
    rows = table(stopped / "metrics.csv")
    assert results(stopped)["train_seconds"] == pytest.approx(sum(float(row["time_seconds"]) for row in rows))


@pytest.fixture
def stopped(runs, tmp_path) -> Path:
    """A run that was stopped in its second epoch."""
    assert runs["codes"]["interrupted", 0] == 130
    return Path(shutil.copytree(runs["folder"] / "interrupted", tmp_path / "run"))


def test_the_command_line_continues_a_run(runs, stopped, tmp_path):
    done = _train_py(f"resume={stopped.relative_to(tmp_path)}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert outcome_of(stopped) == outcome_of(runs["folder"] / "straight")


def test_a_stopped_run_is_not_called_complete(stopped):
    assert not (stopped / "results.json").exists()
    assert [row["epoch"] for row in read_csv(stopped / "metrics.csv")] == ["1"]
    progress = torch.load(stopped / "checkpoints" / "last.pt", weights_only=True)["progress"]
    assert (progress["epoch"], progress["batch"]) == (1, 2)


def _snapshot(directory: Path) -> dict[str, bytes]:
    kept = (path for path in directory.rglob("*") if path.is_file() and ".hydra" not in path.parts)
    return {str(path.relative_to(directory)): path.read_bytes() for path in kept if path.name != "lipnet.log"}


@pytest.fixture
def complete(runs, tmp_path) -> Path:
    return Path(shutil.copytree(runs["folder"] / "straight", tmp_path / "run"))


def test_resume_of_a_complete_run_changes_nothing(complete):
    before = _snapshot(complete)
    outcome = launch(f"resume={complete}")
    assert outcome.code == 0
    assert f"{complete} is complete: nothing to continue" in outcome.output
    assert _snapshot(complete) == before


def test_a_complete_run_can_be_evaluated_after_a_needless_resume(complete, tmp_path):
    assert launch(f"resume={complete}").code == 0
    outcome = launch("task=evaluate", f"run={complete}", f"hydra.run.dir={tmp_path / 'again'}")
    assert outcome.code == 0, outcome.output
    assert results(tmp_path / "again")["certified_accuracy"] == results(complete)["certified_accuracy"]


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("epochs=5", "epochs"), ("optimizer.lr=0.01", "optimizer.lr"), ("seed=1", "seed"), ("model=fc", "model"),
        ("task=evaluate", "task"), ("dataset.limit_test=8", "dataset.limit_test"), ("+epochs=5", "epochs"),
        ("eval_radii=[0.2]", "eval_radii"),  # they choose best.pt and the columns of metrics.csv
    ],
)  # fmt: skip
def test_resume_refuses_changes(stopped, override, key):
    before = _snapshot(stopped)
    outcome = launch(f"resume={stopped}", override)
    assert outcome.code == 1
    assert outcome.output.startswith("lipnet: ")
    assert key in outcome.output
    assert "Traceback" not in outcome.output
    assert _snapshot(stopped) == before


def test_resume_refuses_an_edited_configuration(stopped):
    saved = stopped / ".hydra" / "overrides.yaml"
    saved.write_text(saved.read_text().replace("batch_size=16", "batch_size=8"))
    before = _snapshot(stopped)
    outcome = launch(f"resume={stopped}")
    assert outcome.code == 1
    assert "batch_size: " in outcome.output
    assert "which has 16, not 8" in outcome.output
    assert "Traceback" not in outcome.output
    assert _snapshot(stopped)["checkpoints/last.pt"] == before["checkpoints/last.pt"]


@pytest.mark.parametrize("named", [False, True])
def test_resume_refuses_other_files(named, tmp_path, monkeypatch):
    """But where the data have a name in the place of what is found in the files."""
    file, run, pixels = tmp_path / "own.npz", tmp_path / "run", numpy.arange(48 * 16, dtype=numpy.uint8)
    labels = {"y_train": numpy.arange(40) % 2, "y_test": numpy.arange(8) % 2}

    def write(pixels: numpy.ndarray) -> None:
        images = pixels.reshape(48, 1, 4, 4)
        numpy.savez(file, x_train=images[:40], x_test=images[40:], **labels)

    write(pixels)
    validate = Robustness.validate

    def stopped(*given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return validate(*given)

    with monkeypatch.context() as patched:
        patched.setattr(Robustness, "validate", stopped)
        outcome = launch(
            "dataset=arrays", f"dataset.file={file}", "model=fc", "model.hidden=[4]", "epochs=2", "attack.names=[]",
            "progress=off", "threads=1", f"hydra.run.dir={run}", *["dataset.content=mine"] * named,
        )  # fmt: skip
    assert outcome.code == CODES["SIGTERM"], outcome.output
    write(pixels[::-1])
    outcome = launch(f"resume={run}")
    if named:
        assert outcome.code == 0, outcome.output
        assert "dataset.content=mine: a name that was given, so that nobody knows" in outcome.output
        return
    assert outcome.code == 1
    assert "its files are no longer those that the run in" in outcome.output
    assert "Traceback" not in outcome.output
    write(pixels)
    assert launch(f"resume={run}").code == 0
    assert results(run)["status"] == "completed"


def test_resume_may_change_the_evaluation(stopped):
    outcome = launch(f"resume={stopped}", "attack.examples=8", "certify_dtype=float32")
    assert outcome.code == 0, outcome.output
    assert results(stopped)["attacked_examples"] == 8


def test_a_truncated_checkpoint_falls_back_to_the_previous_one(runs, stopped):
    last = stopped / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    outcome = launch(f"resume={stopped}")
    assert outcome.code == 0, outcome.output
    assert f"{last}: not a readable checkpoint (" in outcome.output
    assert f"Falling back to {last.with_name('previous.pt')}, after epoch 1, batch 0." in outcome.output
    assert outcome_of(stopped) == outcome_of(runs["folder"] / "straight")
    assert curves(stopped) == curves(runs["folder"] / "straight")
    assert {path.name for path in last.parent.iterdir()} == {"best.pt", "last.pt"}


def test_a_full_disk_is_one_clear_message(runs, stopped, monkeypatch):
    calls, sync = itertools.count(), os.fsync

    def full(descriptor):
        if next(calls) > 5:  # the configuration and the rows so far are written again before
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    before = _snapshot(stopped)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        outcome = launch(f"resume={stopped}")
    assert outcome.code == 1
    assert outcome.output.count("lipnet: ") == 1
    assert (
        f"lipnet: {stopped / 'checkpoints' / 'last.pt'}: No space left on device; what was written to {stopped} before "
        f"is kept. Make room, or make it writable, then continue with: lipnet resume={stopped}\n"
    ) in outcome.output
    assert "Traceback" not in outcome.output
    assert _snapshot(stopped).items() >= before.items()
    assert launch(f"resume={stopped}").code == 0
    assert outcome_of(stopped) == outcome_of(runs["folder"] / "straight")


def test_a_continued_run_keeps_the_overrides(stopped):
    """A crash while Hydra empties and fills them again would leave a run that starts anew with the defaults."""
    saved = stopped / ".hydra" / "overrides.yaml"
    before = saved.read_text()
    inode = saved.stat().st_ino
    launch(f"resume={stopped}", "attack.examples=8")
    assert set(before.splitlines()) <= set(saved.read_text().splitlines())
    assert "- attack.examples=8" in saved.read_text()
    assert saved.stat().st_ino != inode  # replaced, not filled again


def test_a_run_without_a_readable_checkpoint_is_one_clear_message(stopped):
    folder = stopped / "checkpoints"
    for name in ("last", "previous"):
        (folder / f"{name}.pt").write_bytes(b"")
    outcome = launch(f"resume={stopped}")
    assert outcome.code == 1
    assert f"lipnet: {folder}: no checkpoint to continue from; delete it to start anew." in outcome.output
    assert "Traceback" not in outcome.output


@pytest.mark.parametrize("value", ["nowhere", "."])
def test_resume_of_what_is_no_run_directory(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    outcome = launch(f"resume={value}")
    assert outcome.code == 1
    assert outcome.output.startswith(f"lipnet: resume={value}: not a run directory")
    assert list(tmp_path.iterdir()) == []
