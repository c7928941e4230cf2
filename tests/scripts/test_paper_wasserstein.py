"""The script of the paper's distances, with a program that only notes how it was started in place of Python."""

import os
import subprocess

import pytest
from launching import ROOT

NOTED = """#!/bin/bash
echo "python $*" >> "$NOTES"
for argument in "$@"; do
  case $argument in
    hydra.run.dir=*) mkdir -p "${argument#*=}"; echo '{"status": "completed"}' > "${argument#*=}/results.json" ;;
  esac
done
"""


@pytest.fixture
def start(tmp_path):
    """``start("mnist", "--quick", RATES="1e-3")`` -> (exit code, output, commands)."""
    binaries, notes = tmp_path / "venv" / "bin", tmp_path / "notes"
    binaries.mkdir(parents=True)
    (binaries / "python").write_text(NOTED)
    (binaries / "python").chmod(0o755)
    (binaries / "activate").write_text(f'PATH="{binaries}:$PATH"\n')
    (tmp_path / "venv" / ".installed").touch()
    fixed = {"LIPNET_VENV": str(tmp_path / "venv"), "OUTPUTS": str(tmp_path / "outputs"), "NOTES": str(notes)}

    def run(*arguments, **variables):
        notes.write_text("")
        command = ["bash", str(ROOT / "scripts" / "paper_wasserstein.sh"), *arguments]
        done = subprocess.run(command, env=os.environ | fixed | variables, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr, notes.read_text().splitlines()

    return run


def test_the_gan_comes_first_and_then_every_critic_and_the_ratios(start):
    code, output, commands = start("mnist", "--quick", "--", "epochs=1", RATES="1e-3")
    assert code == 0, output
    first, *critics, last = commands
    assert first.startswith("python train.py experiment=quick/gan_mnist seed=0 ")
    gan = first.partition("hydra.run.dir=")[2]
    kinds = [f"conv={conv} activation={kind}" for kind in ("maxmin", "relu") for conv in ("bcop", "rko", "ossn")]
    for command, kind in zip(critics, kinds, strict=True):
        assert command.startswith("python train.py experiment=quick/wasserstein_mnist seed=0 ")
        assert f"run={gan} {kind} optimizer.lr=1e-3 epochs=1" in command
    assert last.startswith("python scripts/wasserstein_ratios.py ")
    code, output, commands = start("mnist", "--quick", "--", "epochs=1", RATES="1e-3")
    assert (code, len(commands)) == (0, 1)  # everything is completed: the table alone
    assert output.count("completed in") == 7


def test_a_trained_gan_is_taken(start):
    code, output, commands = start(
        "cifar10", GAN="somewhere", RATES="1e-4", METHODS="rko", SEEDS="3", ACTIVATIONS="relu"
    )
    assert code == 0, output
    critic, _ = commands
    assert critic.startswith("python train.py experiment=paper/wasserstein_cifar10 seed=3 ")
    assert "run=somewhere conv=rko activation=relu optimizer.lr=1e-4" in critic


@pytest.mark.parametrize("arguments", [(), ("digits",), ("mnist",), ("mnist", "epochs=1")])
def test_mistakes_show_the_usage(start, arguments):
    code, output, commands = start(*arguments)
    assert (code, commands) == (1, [])
    assert "scripts/paper_wasserstein.sh cifar10|mnist [--quick]" in output
