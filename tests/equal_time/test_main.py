"""A whole comparison; its processes are stood in for, but in the last test."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from lipnet.equal_time import jobs
from lipnet.equal_time.__main__ import main, parser, sigterm_as_ctrl_c

COMMON = ["--with", "dataset=digits", "eval_radii=[0.3]"]


def folder(command):
    """The run directory that a command names."""
    return next(word for word in command if word.startswith("hydra.run.dir=")).partition("=")[2].strip("'")


class Ended(contextlib.nullcontext):
    """A process that has ended with an exit code."""

    def __init__(self, code):
        super().__init__(self)
        self.code = code

    def wait(self):
        return self.code


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The commands, in order; a run's score is its learning rate, and ``conv=rko`` fails."""
    commands = []

    def started(command, stdout, **_):
        commands.append(command[3:])
        if "lipnet.equal_time.pace" in command:
            with open(command[3], "w") as file:
                json.dump({"seconds": 2.0, "seconds_per_step": 0.1, "examples": 100}, file)
            return Ended(0)
        if "conv=rko" in command:
            stdout.write(b"it diverged\n")
            return Ended(1)
        keys = dict(word.partition("=")[::2] for word in command[3:])
        rate = float(keys["optimizer.lr"])
        found = {
            "status": "completed", "validation": {"certified_accuracy": {"0.3": rate}}, "clean_accuracy": 0.5,
            "certified_accuracy": {"0": 0.5, "0.3": 0.25}, "epochs": 1, "train_seconds": 2.0,
            "samples_per_second": 50.0,
        }  # fmt: skip
        with open(f"{folder(command)}/results.json", "w") as file:
            json.dump(found, file)
        return Ended(0)

    monkeypatch.setattr(jobs, "subprocess", SimpleNamespace(Popen=started))
    monkeypatch.chdir(tmp_path)
    return commands


def test_each_is_tried_then_trained_then_tested(started, capsys):
    main(["4,8", "conv=bcop", "conv=ossn", "--trials", "3", "--seeds", "0,1", "--directory", "out", *COMMON])
    paces, runs = started[:2], {folder(command): command for command in started[2:]}
    assert all(command[0].endswith("pace.json") for command in paces)
    assert list(runs)[:2] == ["out/conv=bcop/trial-0", "out/conv=ossn/trial-0"]
    assert list(runs)[6:8] == ["out/conv=bcop/4s-seed-0", "out/conv=ossn/4s-seed-0"]
    assert len(runs) == 2 * (3 + 2 * 2)
    rates = {name: next(word for word in command if "optimizer.lr" in word) for name, command in runs.items()}
    best = max((rates[f"out/conv=bcop/trial-{number}"] for number in range(3)), key=lambda word: float(word[13:]))
    assert rates["out/conv=bcop/8s-seed-1"] == rates["out/conv=ossn/4s-seed-0"] == best
    assert {"epochs=4", "seed=1"} < set(runs["out/conv=bcop/8s-seed-1"])
    printed = capsys.readouterr()
    assert printed.err.startswith("14 runs, about 0.0 hours of training, in out\n")
    assert "8 seconds of training" in printed.out
    assert "out/equal_time.png" in printed.out


def test_each_budget_may_have_seeds_of_its_own(started, capsys):
    words = ["8,4", "conv=bcop", "--trials", "0", "--seeds", "0,1,2", "1", "--directory", "out", *COMMON]
    main(words)
    assert [folder(command) for command in started[1:]] == [
        "out/conv=bcop/4s-seed-0", "out/conv=bcop/4s-seed-1", "out/conv=bcop/4s-seed-2", "out/conv=bcop/8s-seed-1",
    ]  # fmt: skip
    assert capsys.readouterr().err.startswith("4 runs, about 0.0 hours")


def test_the_same_command_does_nothing_twice(started):
    words = ["4", "conv=bcop", "--trials", "1", "--directory", "out", *COMMON]
    main(words)
    count = len(started)
    main(words)
    assert len(started) == count
    main([*words, "--seeds", "0,1"])
    assert [folder(command) for command in started[count:]] == ["out/conv=bcop/4s-seed-1"]


def test_another_comparison_takes_no_results_of_this_one(started, capsys):
    words = ["4", "conv=bcop", "--trials", "0", "--directory", "out", *COMMON]
    main(words)
    count = len(started)
    with pytest.raises(SystemExit) as stop:
        main([*words, "batch_size=32"])
    assert stop.value.code == 1
    said = (
        "out/conv=bcop/pace: holds another run (dataset=digits eval_radii=[0.3] conv=bcop); choose another --directory"
    )
    assert said in capsys.readouterr().err
    assert len(started) == count


def test_one_that_fails_is_said_and_the_others_are_compared(started, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["4", "conv=bcop", "conv=rko", "--trials", "1", "--directory", "out", *COMMON])
    assert stop.value.code == 1
    printed = capsys.readouterr()
    assert "out/conv=rko/trial-0 failed: it diverged" in printed.err
    assert "no run of conv=rko completed" in printed.err
    assert "| `conv=bcop` |" in printed.out


def test_without_trials_the_rates_are_the_configurations(started):
    main(["4", "conv=bcop", "--trials", "0", "--directory", "out", *COMMON, "optimizer.lr=0.007"])
    assert len(started) == 2
    assert "optimizer.lr=0.007" in started[1][2:]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["4", "conv=bcpo", *COMMON], "lipnet-equal-time: conv=bcpo: no such option; did you mean bcop?"),
        (["4", "conv=bcop", "--with", "epoch=3"], "conv=bcop: epoch: no such key"),
        (["4", "task=gan", "--with", "dataset=mnist"], "task=gan: has no certified accuracy; use task=robustness."),
        (["four", "conv=bcop"], "argument SECONDS: invalid seconds value: 'four'"),
        (["0", "conv=bcop"], "argument SECONDS: invalid seconds value: '0'"),
        (["4", "conv=bcop", "--lr", "1,0.1"], "argument --lr: invalid range value: '1,0.1'"),
        (["4", "conv=bcop", "--trial-seconds", "-1"], "argument --trial-seconds: invalid seconds value: '-1'"),
        (["4", "conv=bcop", "--trials", "-1"], "argument --trials: invalid number value: '-1'"),
        (
            ["4,5,6", "conv=bcop", "--seeds", "0", "1"],
            "--seeds: 2 lists for 3 budgets; give one list",
        ),
        (["4", "conv=bcop", "--seeds", "0,x"], "argument --seeds: invalid seeds value: '0,x'"),
        (["4"], "the following arguments are required: CHOICE"),
    ],
)
def test_mistakes_are_said_before_anything_is_trained(started, capsys, words, problem):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 1
    assert problem in capsys.readouterr().err
    assert not started


def test_ctrl_c_says_how_to_go_on(started, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "_run", interrupt)
    with pytest.raises(SystemExit) as stop:
        main(["4", "conv=bcop", "--directory", "out", *COMMON])
    assert stop.value.code == 130
    assert "stopped; the same command goes on from here: " in capsys.readouterr().err


def test_sigterm_reaches_the_jobs(monkeypatch, tmp_path):
    """Not only the process that it was sent to, which would leave them training."""
    running = []

    def terminate():
        while not jobs._RUNNING:
            time.sleep(0.01)
        running.extend(jobs._RUNNING)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(jobs.Job, "command", lambda job: ["sleep", "60"])
    thread = threading.Thread(target=terminate)
    thread.start()
    with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
        jobs.run_jobs([jobs.Job(tmp_path / name, []) for name in "ab"], 1, "jobs")
    thread.join()
    assert [process.returncode for process in running] == [-signal.SIGTERM]
    assert not jobs._RUNNING


def test_help_names_every_argument():
    text = " ".join(parser().format_help().split())
    assert "Compares choices at equal seconds of training" in text


def test_a_real_one(tmp_path):
    command = [
        sys.executable, "-m", "lipnet.equal_time", "0.2", "conv=bcop", "--trials", "0", "--directory", "out", *COMMON,
        "attack.names=[]", "threads=1", "model.channels=[4,4]", "model.hidden=[8]", "dataset.limit_test=20",
        "singular_values_every=0",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((tmp_path / "out" / "equal_time.json").read_text())
    assert found["train_seconds"][0] > 0
    assert len(found["clean"]) == 1
