"""Runs that several processes share; they have the results of a single process's run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from launching import ROOT, TINY, results, table
from own_modules import CLAMP

# Batches of 15 in shares of 8 and 7, the last one of an epoch of a single example, which leaves one process none.
# Gradient descent: Adam turns differences of rounding in tiny gradients into steps.
IMAGES = (*TINY, "epochs=2", "optimizer=sgd", "dataset.limit_train=61", "batch_size=15", "singular_values_every=0")
CRITIC = (
    "task=wasserstein", "dataset=absolute_value", "dataset.steps_per_epoch=4", "dataset.selection_samples=50",
    "dataset.evaluation_samples=101", "model.hidden=[8]", "batch_size=5", "epochs=2", "optimizer=sgd", "progress=off",
    "threads=1", "device=cpu",
)  # fmt: skip
LEARNED = (
    *IMAGES, "epochs=1", "model=large", "conv.groups=2", "shuffle=learned", "shuffle.harden=0.6", "activation=spline",
    "model.channels=[4,4,4]", "model.kernel_sizes=[2,2,2]", "model.strides=[2,1,1]", "attack.names=[]",
)  # fmt: skip
OWN = (*IMAGES, "epochs=1", "plugins=[my_layer]", "activation=clamp", "attack.names=[]")
STEPS = 5  # an epoch
# name: rounds of (processes, where something happens, to the second process alone)
PLANS: dict[str, list[tuple[int, dict[str, Any]]]] = {
    "one": [(1, {})],
    "two": [(2, {})],
    "two then one": [(2, {"moment": "step", "count": STEPS + 2, "signal": "SIGINT"}), (1, {})],
    "one then two": [(1, {"moment": "step", "count": STEPS + 2, "signal": "SIGINT", "struck": 0}), (2, {})],
    "killed": [(2, {"moment": "step", "count": STEPS + 2, "signal": "SIGKILL"})],
    "broken": [(2, {"raises": True})],
}
# The same to the end, of other networks: processes, overrides
OTHERS = {
    "critic of one": (1, CRITIC), "critic of two": (2, CRITIC),
    "learned layers of one": (1, LEARNED), "learned layers of two": (2, LEARNED),
    "own layer of one": (1, OWN), "own layer of two": (2, OWN),
}  # fmt: skip
OVER_TIME = ("time_seconds", "time_samples_per_second")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Any]:
    """Every plan's run directory, with each round's exit codes and outputs."""
    folder = tmp_path_factory.mktemp("shared")
    rounds = [[_job(folder, name, number, *step) for number, step in enumerate(plan)] for name, plan in PLANS.items()]
    rounds += [[_job(folder, name, 0, count, {}, chosen)] for name, (count, chosen) in OTHERS.items()]
    (folder / "my_layer.py").write_text(CLAMP)
    (folder / "rounds.json").write_text(json.dumps(rounds))
    command = [sys.executable, str(ROOT / "tests" / "like_torchrun.py"), str(folder / "rounds.json")]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    codes = dict(zip([*PLANS, *OTHERS], json.loads(done.stdout), strict=True))
    outputs = {path.name: path.read_text() for path in sorted(folder.glob("*.txt*"))}
    return {"folder": folder, "codes": codes, "outputs": outputs}


def _job(folder: Path, name: str, number: int, processes: int, strike: dict, chosen: tuple = IMAGES) -> dict:
    place = folder / name.replace(" ", "-")
    arguments = [f"resume={place}"] if number else [*chosen, f"hydra.run.dir={place}"]
    return {"processes": processes, "arguments": arguments, "log": f"{place}.{number}.txt", "struck": 1} | strike


def _directory(runs, name: str) -> Path:
    return runs["folder"] / name.replace(" ", "-")


def _assert_same(first: dict[str, Any], second: dict[str, Any], **tolerance: float) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert value == pytest.approx(second[key], **tolerance), key


def _numbers(directory: Path) -> dict[str, Any]:
    """All that a run found, as one flat dict."""
    found = {}
    for name in ("last", "best"):
        saved = torch.load(directory / "checkpoints" / f"{name}.pt", weights_only=True)
        found |= {f"{name} {key}": value.flatten().tolist() for key, value in saved["model"].items()}
        found |= {f"{name} {key}": saved["progress"][key] for key in ("epoch", "batch", "best_epoch")}
    for file in ("metrics.csv", "certificates.csv"):
        for number, row in enumerate(table(directory / file) if (directory / file).exists() else []):
            found |= {f"{file} {number} {key}": float(row[key]) for key in row if key not in OVER_TIME}
    return found


@pytest.mark.parametrize("name", ["two", "two then one", "one then two"])
def test_processes_that_share_a_run_find_what_one_finds(runs, name):
    assert runs["codes"][name][-1] in ([0], [0, 0]), runs["outputs"]
    ours, single = _directory(runs, name), _directory(runs, "one")
    _assert_same(_numbers(ours), _numbers(single), rel=2e-4, abs=2e-5)
    mine, theirs = results(ours), results(single)
    for key in ("clean_accuracy", "certified_accuracy", "certified_accuracy_per_pair", "attacked_accuracy"):
        assert mine[key] == theirs[key], key
    for key in ("lipschitz_upper_bound", "lipschitz_lower_bound"):
        assert mine[key] == pytest.approx(theirs[key], abs=2e-6)
    assert mine["processes"] == PLANS[name][-1][0]


@pytest.mark.parametrize("name", ["critic", "learned layers", "own layer"])
def test_other_networks_are_those_of_one_process(runs, name):
    assert runs["codes"][f"{name} of two"] == [[0, 0]], runs["outputs"]
    numbers = [_numbers(_directory(runs, f"{name} of {count}")) for count in ("two", "one")]
    _assert_same(*numbers, rel=2e-4, abs=2e-5)


def test_a_shared_critic_finds_what_one_process_finds(runs):
    ours, single = _directory(runs, "critic of two"), _directory(runs, "critic of one")
    mine, theirs = results(ours)["wasserstein"], results(single)["wasserstein"]
    for key in ("estimate", "ci_low", "certified_lower_bound", "exact_on_sample", "estimate_on_sample"):
        assert mine[key] == pytest.approx(theirs[key], rel=1e-4)
    assert mine["certified_lower_bound"] <= mine["exact_on_sample"] * 1.5


def test_the_first_process_alone_writes(runs):
    ours, single = _directory(runs, "two"), _directory(runs, "one")
    files = [
        sorted(path.name.split(".tfevents")[0] for path in directory.rglob("*") if path.is_file())
        for directory in (ours, single)
    ]
    assert files[0] == files[1]
    assert runs["outputs"]["two.0.txt.1"] == ""
    log = (ours / "lipnet.log").read_text()
    assert log.count("epoch 1/2") == 1
    assert "everything is in" in log


def test_a_stop_of_one_process_stops_all(runs):
    assert runs["codes"]["two then one"][0] == [130, 130]
    output = runs["outputs"]["two-then-one.0.txt"]
    directory = _directory(runs, "two then one")
    command = f"torchrun --nproc_per_node=2 {ROOT / 'train.py'} resume={directory}"
    assert f"stopped by SIGINT; continue with: {command}" in output
    assert "Traceback" not in output


def test_a_process_that_is_killed_ends_the_run(runs):
    assert runs["codes"]["killed"] == [[1, -9]]
    output = runs["outputs"]["killed.0.txt"]
    assert output.rstrip().splitlines()[-1].startswith("lipnet: another process of this run has ended; ")
    assert "Traceback" not in output
    saved = results(_directory(runs, "killed"))
    assert saved["status"] == "failed"
    assert saved["error"].startswith("UserError: another process of this run has ended; ")


def test_the_process_that_fails_says_why(runs):
    ((other, broken),) = runs["codes"]["broken"]
    assert broken in (1, 99)
    assert other in (1, 143)  # it finds the connection lost, or is ended by SIGTERM before
    assert "Traceback" not in runs["outputs"]["broken.0.txt"]
    assert "ArithmeticError: this process cannot go on" in runs["outputs"]["broken.0.txt.1"]
    saved = results(_directory(runs, "broken"))
    assert (saved["status"], saved["error"]) == ("failed", "ArithmeticError: this process cannot go on")
