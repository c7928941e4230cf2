import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from lipnet.errors import UserError
from lipnet.results.collect import find_runs
from lipnet.results.measures import Measure


def test_runs_are_found_at_any_depth_and_once(make_run, tmp_path):
    made = [make_run("a"), make_run("b/0"), make_run("b/c/1"), make_run("b/0/evaluation")]
    found = find_runs([tmp_path, tmp_path / "b", made[0]])
    assert sorted(run.directory for run in found) == sorted(made)
    assert not any(run.problem for run in found)


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no run there"):
        find_runs([tmp_path])
    with pytest.raises(UserError, match="nowhere: no such directory"):
        find_runs([tmp_path / "nowhere"])


def test_a_run_is_read(make_run):
    (run,) = find_runs([make_run("a", {"optimizer.lr": 1e-5}, seed=3)])
    assert (run.seed, run.method, run.composed) == ("3", "bcop", True)
    assert run.measures[Measure("certified_accuracy", 1.58)] == 0.4
    assert run.measures[Measure("pgd_accuracy", 0.3)] == 0.85
    assert run.measures[Measure("clean_accuracy")] == 0.9
    expected = {"conv": "bcop", "conv.padding_mode": "circular", "epochs": "10", "optimizer.lr": "1e-05", "seed": "3",
                "loss.epsilon": "1.5", "eval_radii": "[0.3,1.58]", "resume": "null"}  # fmt: skip
    assert expected.items() <= run.config.items()


def test_every_attack_is_a_measure(make_run):
    accuracies = {name: {"36/255": 0.5} for name in ("fgsm", "pgd", "another")}
    (run,) = find_runs([make_run("a", attacked_accuracy=accuracies)])
    assert {Measure(f"{name}_accuracy", 36 / 255) for name in accuracies} <= set(run.measures)
    assert run.written[36 / 255] == "36/255"


def test_a_network_without_convolutions_is_named_by_its_linear_layers(make_run):
    (run,) = find_runs([make_run("a", {"model.name": "fc"})])
    assert run.method == "bjorck"
    for model, method in (("cones", "–"), ("gan_critic", "–"), ("shufflenet", "none")):
        (other,) = find_runs([make_run(model, {"model.name": model})])
        assert other.method == method


@pytest.mark.parametrize(
    ("results", "problem"),
    [
        ({"status": "failed", "error": "OSError: disk\nfull"}, "failed: OSError: disk full"),
        ({"status": None}, "unfinished: status None"),
        ({"clean_accuracy": None, "task": "other"}, "task=other: its results hold no accuracies"),
        ({"certified_accuracy": {"x": 1}}, "results.json is not as lipnet writes it"),
        ({"attacked_accuracy": [1]}, "results.json is not as lipnet writes it"),
        ({"clean_accuracy": "high"}, "results.json is not as lipnet writes it"),
    ],
)
def test_a_run_without_a_place_says_why(make_run, results, problem):
    (run,) = find_runs([make_run("a", **results)])
    assert run.problem.startswith(problem)
    assert run.config["conv"] == "bcop"


def test_a_broken_file_says_so(make_run):
    directory = make_run("a")
    (directory / "results.json").write_text('{"status": ')
    (run,) = find_runs([directory])
    assert run.problem.startswith("results.json cannot be read")
    (directory / "results.json").write_text("[]")
    assert find_runs([directory])[0].problem == "results.json is not a table of keys"


def test_an_unfinished_run_says_how_far_it_came(make_run):
    directory = make_run("a")
    (directory / "results.json").unlink()
    (directory / "metrics.csv").write_text("epoch,x\n1,0\n2,0\n")
    long_ago = time.time() - 7200
    for path in (directory / "metrics.csv", directory / ".hydra" / "config.yaml"):
        os.utime(path, (long_ago, long_ago))
    (run,) = find_runs([directory])
    assert run.problem == "unfinished: after epoch 2 of 10, last written 2 h ago"


def test_a_run_with_checkpoints_alone_is_unfinished(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (run,) = find_runs([tmp_path])
    assert run.problem == "unfinished: after epoch 0 of ?"


def test_without_hydras_files_choices_and_overrides_are_the_configuration(make_run):
    overrides = ["conv=rko", "+epochs=7", "hydra.run.dir=x"]
    directory = make_run("a", choices={"conv": "rko", "dataset": "mnist"}, overrides=overrides)
    shutil.rmtree(directory / ".hydra")
    (run,) = find_runs([directory])
    assert not run.composed
    assert run.config == {"conv": "rko", "dataset": "mnist", "epochs": "7"}


@pytest.mark.parametrize("text", ["conv: [", "- 1", "", "a: b: c"])
def test_an_unreadable_configuration_is_as_good_as_none(make_run, text):
    directory = make_run("a")
    (directory / ".hydra" / "config.yaml").write_text(text)
    (run,) = find_runs([directory])
    assert not run.composed
    assert not run.problem


def test_thousands_of_runs_are_read_quickly_without_torch(make_run, tmp_path):
    first = make_run("runs/0")
    config, results = (first / ".hydra/config.yaml").read_text(), json.loads((first / "results.json").read_text())
    for number in range(1, 500):
        directory = tmp_path / "runs" / str(number)
        (directory / ".hydra").mkdir(parents=True)
        text = config.replace("seed: 0", f"seed: {number % 5}").replace("epochs: 10", f"epochs: {10 + number // 5}")
        (directory / ".hydra" / "config.yaml").write_text(text)
        (directory / "results.json").write_text(json.dumps(results | {"seed": number % 5}))
    program = (
        "import sys, time; from lipnet.results.__main__ import main; start = time.process_time(); main(sys.argv[1:]); "
        "assert time.process_time() - start < 2; assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2 + 100 + 2


def test_an_unfinished_prediction_counts_rounds(tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("task: {name: online}\ndataset: {name: setar, rounds: 300}\n")
    (tmp_path / "metrics.csv").write_text("epoch,x\n50,0\n100,0\n")
    (run,) = find_runs([tmp_path])
    assert run.problem.startswith("unfinished: after round 100 of 300, last written")
