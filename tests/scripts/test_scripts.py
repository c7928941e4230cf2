"""The script of whole sweeps: it can be stopped and launched again, and ends in the table."""

import json
import os
import shlex
import signal
import subprocess
import time

import pytest
from launching import ROOT, made_environment

from lipnet.cli.arguments import prepare
from lipnet.equal_time.__main__ import parser

OVERRIDES = (
    "seed=0", "experiment=paper/mnist_small", "conv=bcop", "dataset=digits", "linear=orthogonal",
    "model.channels=[4,4]", "model.hidden=[8]", "attack.steps=1", "attack.restarts=1", "threads=1", "device=cpu",
    "progress=off", "dataset.limit_train=300", "dataset.limit_test=16", "singular_values_every=0", "epochs=12",
)  # fmt: skip


@pytest.fixture
def start(tmp_path):
    """``start("paper_mnist", ...)``: the script in a checkout of its own, in an environment that is already made."""
    for name in ("conf", "lipnet", "train.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "scripts").mkdir()
    for name in ("sweep.sh", "environment.sh"):
        (tmp_path / "scripts" / name).write_bytes((ROOT / "scripts" / name).read_bytes())
    (tmp_path / "setup.cfg").touch()
    environment = os.environ | made_environment(tmp_path / "venv")

    def run(*arguments):
        return subprocess.Popen(
            ["bash", str(tmp_path / "scripts" / "sweep.sh"), *arguments], env=environment,
            stdout=(tmp_path / "log").open("w"), stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell may have it ignored
        )  # fmt: skip

    return run


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_table_survives_ctrl_c(start, tmp_path):
    log = tmp_path / "log"
    script = start("paper_mnist", *OVERRIDES)
    limit = time.monotonic() + 300
    while "epoch 1/12" not in log.read_text():
        assert script.poll() is None, log.read_text()
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.killpg(script.pid, signal.SIGINT)
    assert script.wait(300) == 130, log.read_text()
    assert "1 stopped\nThe same command goes on from here" in log.read_text()
    assert not list((tmp_path / "outputs").rglob("results.json"))
    assert start("paper_mnist", *OVERRIDES).wait(600) == 0, log.read_text()
    text = log.read_text()
    assert "continuing after epoch" in text
    assert "1 completed (it was unfinished)" in text
    assert "not in the table" not in text
    (found,) = (tmp_path / "outputs" / "sweeps").rglob("results.json")
    assert json.loads(found.read_text())["status"] == "completed"
    assert start("paper_mnist", *OVERRIDES).wait(300) == 0
    assert "1 completed before and skipped" in log.read_text()
    assert "digits   small  bcop    1" in log.read_text()


@pytest.mark.parametrize("arguments", [(), ("paper_minst",)])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_mistakes_are_said_before_anything_starts(start, tmp_path, arguments):
    assert start(*arguments).wait(60) == 1
    text = (tmp_path / "log").read_text()
    assert "scripts/sweep.sh NAME [KEY=VALUE ...]" in text
    assert "paper_mnist" in text
    assert not (tmp_path / "outputs").exists()


def test_every_choice_of_the_comparison_is_one(tmp_path, monkeypatch):
    text = (ROOT / "scripts" / "equal_time.sh").read_text().replace("\\\n", " ")
    words = shlex.split(text.partition('lipnet.equal_time "$seconds"')[2].replace('"$@"', ""))
    given = parser().parse_args(["300", *words])
    assert len(given.choices) == 10
    monkeypatch.chdir(tmp_path)
    for choice in given.choices:
        prepare([*choice.split(), *given.common])


def test_a_comparison_needs_its_seconds():
    for arguments in ([], ["conv=bcop"]):
        command = ["bash", str(ROOT / "scripts" / "equal_time.sh"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 1
        assert "scripts/equal_time.sh SECONDS [OPTION ...]" in done.stderr
