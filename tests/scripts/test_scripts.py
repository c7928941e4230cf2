"""The scripts that fill tables: they can be stopped and launched again."""

import json
import os
import signal
import subprocess
import time

import pytest
from launching import ROOT, made_environment

OVERRIDES = (
    "dataset=digits", "linear=orthogonal", "model.channels=[4,4]", "model.hidden=[8]", "attack.steps=1",
    "attack.restarts=1", "threads=1", "device=cpu", "progress=off", "dataset.limit_train=300",
    "dataset.limit_test=16", "singular_values_every=0",
)  # fmt: skip


@pytest.fixture
def environment(tmp_path):
    """An environment that is already made, with this Python in it."""
    chosen = {"SEEDS": "0", "EXPERIMENTS": "mnist_small_bcop"}
    return os.environ | made_environment(tmp_path / "venv") | chosen | {"OUTPUTS": str(tmp_path / "outputs")}


def start(environment, log, *arguments, script="paper_table.sh"):
    command = ["bash", str(ROOT / "scripts" / script), *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=log.open("w"), stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell may have it ignored
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_table_survives_ctrl_c(environment, tmp_path):
    log, arguments = tmp_path / "log", ("mnist", "--", *OVERRIDES, "epochs=12")
    script = start(environment, log, *arguments)
    limit = time.monotonic() + 300
    while "epoch 1/12" not in log.read_text():
        assert script.poll() is None, log.read_text()
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.killpg(script.pid, signal.SIGINT)
    assert script.wait(300) == 130, log.read_text()
    assert "stopped; the same command goes on from here" in log.read_text()
    assert not list((tmp_path / "outputs").rglob("results.json"))
    assert start(environment, log, *arguments).wait(600) == 0, log.read_text()
    text = log.read_text()
    assert "[1/1] paper/mnist_small_bcop, seed 0: continuing" in text
    assert "continuing after epoch" in text
    assert "not in the table" not in text
    (found,) = (tmp_path / "outputs").rglob("results.json")
    assert json.loads(found.read_text())["status"] == "completed"
    assert start(environment, log, *arguments).wait(300) == 0
    assert ": completed in" in log.read_text()
    assert "digits   small  bcop    1" in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "chosen", "message"),
    [
        ((), {}, "scripts/paper_table.sh mnist|cifar10"),
        (("digits",), {}, "scripts/paper_table.sh mnist|cifar10"),
        (("mnist", "epochs=1"), {}, "scripts/paper_table.sh mnist|cifar10"),
        (("mnist",), {"EXPERIMENTS": "mnist_tiny"}, "EXPERIMENTS: no paper/mnist_tiny; there are mnist_fc_bjorck"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_mistakes_are_said_before_anything_starts(environment, tmp_path, arguments, chosen, message):
    log = tmp_path / "log"
    assert start(environment | chosen, log, *arguments).wait(60) == 1
    assert message in log.read_text()
    assert not (tmp_path / "outputs").exists()


TINY = (
    "epochs=1", "batch_size=8", "dataset.steps_per_epoch=2", "dataset.selection_samples=50", "threads=1", "device=cpu",
    "dataset.evaluation_samples=50", "estimate.transport_samples=20", "progress=off",
)  # fmt: skip
DISTANCES = {"EXPERIMENTS": "minfunnel_cones", "DIMENSIONS": "2", "FUNNELS": "4"}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_wasserstein_benchmark_ends_in_its_table(environment, tmp_path):
    log = tmp_path / "log"
    arguments = ("--", *TINY)
    script = start(environment | DISTANCES, log, *arguments, script="wasserstein_benchmark.sh")
    assert script.wait(300) == 0, log.read_text()
    text = log.read_text()
    assert "[1/1] minfunnel_cones-2-4, seed 0: starting" in text
    (found,) = (tmp_path / "outputs").rglob("results.json")
    distance = json.loads(found.read_text())["wasserstein"]
    # 0.82128 from 2^23 samples, 64 times as many.
    assert distance["true_value"] == pytest.approx(0.82128, abs=3 * distance["true_value_error"])
    assert distance["true_value_error"] < 1.5e-3
    assert "SO/true" in text
    assert "cones –, 1 published pairs" in text


@pytest.mark.parametrize(
    ("arguments", "chosen", "message"),
    [
        (("cone",), {}, "scripts/wasserstein_benchmark.sh [--quick]"),
        ((), {"EXPERIMENTS": "conee"}, "EXPERIMENTS: no wasserstein/conee; there are absolute_value cone"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_wasserstein_benchmark_takes_no_wrong_name(environment, tmp_path, arguments, chosen, message):
    log = tmp_path / "log"
    assert start(environment | chosen, log, *arguments, script="wasserstein_benchmark.sh").wait(60) == 1
    assert message in log.read_text()
    assert not (tmp_path / "outputs").exists()
