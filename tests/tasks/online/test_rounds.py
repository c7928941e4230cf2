"""Whole runs: what they charge, what they leave, and that a stopped one ends as one that was not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from launching import ROOT, launch, results, table

from lipnet.errors import CertificateViolation
from lipnet.runs import checkpoint
from lipnet.tasks.online import rounds as module
from lipnet.tasks.online.rounds import Rounds, is_reported, unconstrained

SMALL = (
    "task=online", "model.memories=[1,2]", "model.budgets=[0.5,2.0]", "model.hidden=[8]", "task.examples=16",
    "task.window=50", "task.attack_every=20", "dataset.warmup=5", "progress=off", "threads=1", "device=cpu",
)  # fmt: skip
ROUNDS = ("dataset=autoregression", "dataset.rounds=60")
BASELINES = "task.baselines=[last_value,ridge,network]"
VOLATILE = ("train_seconds", "rounds_per_second", "peak_memory_bytes", "started", "wall_seconds", "overrides")


pytestmark = pytest.mark.usefixtures("without_figures")


def run(directory: Path, *overrides: str):
    outcome = launch(*SMALL, *overrides, f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.output
    return outcome


def left(directory: Path) -> dict:
    """All that must be the same, to the bit, for a run that was stopped."""
    saved = checkpoint.load(directory / "checkpoints" / "last.pt")
    return {
        "stream.csv": (directory / "stream.csv").read_text(),
        "metrics.csv": (directory / "metrics.csv").read_text(),
        "results": {key: value for key, value in results(directory).items() if key not in VOLATILE},
        "weights": {name: value.tolist() for name, value in saved["predictor"]["model"].items()},
    }


def test_every_round_is_written_and_counts(tmp_path):
    run(tmp_path, *ROUNDS, BASELINES)
    rows, found = table(tmp_path / "stream.csv"), results(tmp_path)["online"]
    assert [int(row["round"]) for row in rows] == list(range(-4, 61))
    assert all(row["prediction"] == "" for row in rows[:5])
    charged = rows[5:]
    for row in charged:
        assert float(row["loss"]) == pytest.approx((float(row["prediction"]) - float(row["outcome"])) ** 2, abs=1e-7)
        assert sum(float(row[name]) for name in row if name.startswith("weight_")) == pytest.approx(1)
    columns = {"average_loss": "loss", "best_expert_loss": f"loss_{found['best_expert']}"}
    for name, column in columns.items():
        assert found[name] == pytest.approx(sum(float(row[column]) for row in charged) / 60)
    for name in ("last_value", "ridge", "network"):
        total = sum(float(row[f"loss_{name}"]) for row in charged)
        assert found["baselines"][name] == pytest.approx(total / 60)
    assert found["last_half_loss"] == pytest.approx(sum(float(row["loss"]) for row in charged[30:]) / 30)
    assert found["regret"] == pytest.approx(60 * (found["average_loss"] - found["best_expert_loss"]))
    assert found["regret"] <= found["regret_bound"]
    attacked = [row for row in rows if row["attacked"]]
    assert [row["round"] for row in attacked] == ["20", "40", "60"]
    assert all(float(row["attacked"]) <= float(row["sensitivity"]) for row in attacked)
    assert found["sensitivity"]["attacks"] == 3


def test_a_loss_is_charged_before_the_outcome_is_learned(tmp_path):
    """At a change of distribution nobody sees it coming: up to it, all is as without one."""
    for name, change in (("with", 30), ("without", 1000)):
        run(tmp_path / name, "dataset=change_point", f"dataset.change={change}", "dataset.rounds=40")
    first, second = (table(tmp_path / name / "stream.csv") for name in ("with", "without"))
    outcomes, predictions = ([one[column] == other[column] for one, other in zip(first, second, strict=True)]
                             for column in ("outcome", "prediction"))  # fmt: skip
    changed = outcomes.index(False)
    assert changed == 5 + 30
    assert all(predictions[: changed + 1])  # that of the changed outcome too
    assert not predictions[changed + 1]


STOPS = [("SIGTERM", 10), ("SIGKILL", 15), ("SIGINT", 3), ("SIGKILL", 1)]
CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}


def test_a_stopped_run_ends_as_one_that_was_not(tmp_path):
    """Stopped at these of its rounds; after SIGKILL it goes on from the checkpoint before, and nothing is lost."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(whole, *ROUNDS, BASELINES)
    arguments = [*SMALL, *ROUNDS, BASELINES, f"hydra.run.dir={stopped}"]
    jobs = []
    for name, count in STOPS:
        jobs.append([{"arguments": arguments, "log": str(tmp_path / "log"), "moment": "round", "count": count,
                      "signal": name}])  # fmt: skip
        arguments = [f"resume={stopped}"]
    jobs.append([{"arguments": arguments, "log": str(tmp_path / "log"), "moment": None}])
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, str(ROOT / "tests" / "stopping.py"), str(tmp_path / "jobs.json")]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, timeout=600, check=True)
    assert json.loads(done.stdout) == [*([CODES[name]] for name, _ in STOPS), [0]], (tmp_path / "log").read_text()
    assert left(stopped) == left(whole)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, monkeypatch):
    run(tmp_path / "whole", *ROUNDS)
    monkeypatch.setattr(module, "_CHECKPOINT_SECONDS", 0.0)
    charge = Rounds._charge

    def stopping(self, *rest):
        if self.done == 40:
            raise MemoryError
        charge(self, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(Rounds, "_charge", stopping)
        directory = tmp_path / "stopped"
        assert launch(*SMALL, *ROUNDS, f"hydra.run.dir={directory}").code == 1
    last = directory / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:-100])
    outcome = launch(f"resume={directory}")
    assert outcome.code == 0
    assert "Falling back to" in outcome.output
    assert "continuing after round 39" in outcome.output
    assert left(directory) == left(tmp_path / "whole")


def test_a_live_stream_is_answered_line_by_line(tmp_path):
    """One process, a line in and a line out; killed, it goes on with what it had read."""
    values = [f"{place / 8}" for place in range(20)]
    command = [sys.executable, str(ROOT / "train.py"), *SMALL, "dataset=stdin", f"hydra.run.dir={tmp_path}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)
    said = []
    for value in values[:12]:
        first.stdin.write(f"{value}\n")
        first.stdin.flush()
        said.append(first.stdout.readline())
    first.kill()
    first.communicate()
    assert [float(line) for line in said[:4]] == pytest.approx(
        [float(value) for value in values[:4]]
    )  # before there is a prediction
    again = [sys.executable, str(ROOT / "train.py"), f"resume={tmp_path}"]
    rest = "\n".join(["oops", *values[12:]])
    done = subprocess.run(again, cwd=ROOT, env=environment, input=rest, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == said[-1].strip()  # of the gap: nothing new is known
    rows = table(tmp_path / "stream.csv")
    assert [float(row["outcome"]) for row in rows] == [float(value) for value in values]
    assert results(tmp_path)["online"]["gaps"] == 1
    replies = [float(line) for line in (*said, *done.stdout.split()[1:])]
    assert replies[4:-1] == pytest.approx([float(row["prediction"]) for row in rows[5:]])


def test_what_is_proved_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "attacked_sensitivity", lambda *_: 1e9)
    outcome = launch(*SMALL, *ROUNDS, f"hydra.run.dir={tmp_path}")
    assert outcome.code == 1
    assert "round 20: an error of norm 0.1 in the observations moves the prediction by 1000000000.0" in outcome.output
    assert issubclass(CertificateViolation, RuntimeError)


@pytest.mark.parametrize("aggregator", ["weak", "hedge", "leader", "uniform"])
@pytest.mark.parametrize("loss", ["squared", "absolute", "pinball"])
def test_every_aggregator_and_loss_runs(tmp_path, aggregator, loss):
    run(tmp_path, *ROUNDS, f"task.aggregator={aggregator}", f"loss={loss}", "dataset.rounds=12")
    found = results(tmp_path)["online"]
    assert ("regret_bound" in found) == (aggregator in ("weak", "hedge"))


@pytest.mark.parametrize("task", ["evaluate", "export"])
def test_nothing_of_a_run_can_be_done_again(tmp_path, task):
    run(tmp_path / "run", *ROUNDS)
    outcome = launch(f"task={task}", f"run={tmp_path / 'run'}")
    assert outcome.code == 1
    assert f"nothing of it can be done again with task={task}." in outcome.output


def test_several_columns_are_predicted_together(tmp_path):
    file = tmp_path / "series.csv"
    lines = [f"{torch.sin(torch.tensor(place / 3)).item()},{place % 5}" for place in range(40)]
    file.write_text("a,b\n" + "\n".join(lines))
    run(tmp_path / "run", "dataset=series", f"dataset.file={file}", BASELINES)
    rows = table(tmp_path / "run" / "stream.csv")
    assert {"outcome_0", "outcome_1", "prediction_0", "prediction_1"} < set(rows[0])
    assert results(tmp_path / "run")["online"]["rounds"] == 35


def test_a_stream_that_ends_too_early_is_said(tmp_path, monkeypatch):
    read, write = os.pipe()
    os.write(write, b"1\n2\n")
    os.close(write)
    with os.fdopen(read) as file:
        monkeypatch.setattr("sys.stdin", file)
        outcome = launch(*SMALL, "dataset=stdin", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 1
    assert "dataset=stdin: ended after 2 observations, and dataset.warmup=5 of them come before" in outcome.output


def test_reports_stay_few():
    reported = [done for done in range(1, 100_001) if is_reported(done)]
    assert reported[:3] == [50, 100, 150]
    assert len(reported) < 600


def test_the_unconstrained_network_is_of_the_same_size(make_config):
    config = make_config("task=online", "dataset=setar", "task.penalty=0")
    changed = unconstrained(config)
    assert (changed.linear.name, changed.model.budgets, changed.model.hidden) == ("plain", [1.0], config.model.hidden)
