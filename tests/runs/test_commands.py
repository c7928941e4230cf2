"""Every printed command, pasted into bash: it must reach the directory that it names."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra import compose
from launching import ROOT

from lipnet.cli.arguments import prepare
from lipnet.cli.composing import hydra_ready
from lipnet.cli.overrides import parse_overrides
from lipnet.cli.paths import as_meant
from lipnet.cli.saved import origin
from lipnet.runs import commands as pasted

NAMES = [
    "a space", "two  spaces", " around ", "comma,", "a,b", "quote'", 'quote"', "'both\"", "equal=s", "dollar$", "$HOME",
    "`date`", "back\\slash", "end\\", "\\'", "[brackets]", "{braces}", "(round)", "#hash", "has#hash", "bang!", "&",
    "a;b", "star*", "why?", "~", "~root", "100%", "-m", "--help", "+plus", "colon:", "new\nline", "tab\t", "übergröße",
    "日本", "null", "true", "1_000", "1e3", "007", "<a>", "a|b", "a^b", "@a", "x" * 255, "$(date)", "a=b,c='d'",
]  # fmt: skip
ARGUMENTS = "#!/bin/sh\nprintf '%s\\0' \"$@\"\n"


@pytest.fixture
def tools(tmp_path_factory, monkeypatch) -> Path:
    """This Python's environment, whose tools print their arguments; they are on the path."""
    folder = tmp_path_factory.mktemp("bin")
    for name in ("lipnet", "lipnet-results", "tensorboard", "python", "torchrun"):
        (folder / name).write_text(ARGUMENTS)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(pasted.sys, "executable", str(folder / "python"))
    monkeypatch.setattr(sys, "argv", ["lipnet"])
    return folder


def pasted_into_bash(command: str, folder: Path) -> list[str]:
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


@pytest.fixture
def run(tmp_path, request) -> Path:
    """A run directory of the test's name."""
    directory = tmp_path / request.param
    (directory / ".hydra").mkdir(parents=True)
    (directory / ".hydra" / "overrides.yaml").write_text("- seed=7\n")
    return directory


@pytest.mark.parametrize("run", NAMES, indirect=True, ids=repr)
def test_a_command_on_a_run_reaches_it(run, tools, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for key, others in (("resume", []), ("rerun", []), ("run", ["task=evaluate"])):
        arguments = pasted_into_bash(pasted.on_run(key, run, *others), tmp_path)
        overrides, problems = parse_overrides([as_meant(argument) for argument in arguments])
        assert problems == []
        found = origin(overrides)
        assert (found.key, found.directory, found.texts) == (key, str(run), ["seed=7"])


@pytest.mark.parametrize(
    "run", ["'both\"", "a=b,c='d'", "new\nline", "end\\", "null", "$(date)"], indirect=True, ids=repr
)
def test_hydra_writes_where_the_command_says(run, tools, tmp_path):
    prepared = prepare(pasted_into_bash(pasted.on_run("resume", run), tmp_path))
    with hydra_ready():
        composed = compose("config", overrides=prepared, return_hydra_config=True)
    assert composed.seed == 7
    assert composed.resume == composed.hydra.run.dir == str(run)


@pytest.mark.parametrize("run", NAMES, indirect=True, ids=repr)
def test_a_tool_reaches_a_directory(run, tools, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (run, run.relative_to(tmp_path)):
        (given,) = pasted_into_bash(pasted.tool("lipnet-results", path), tmp_path)
        assert os.path.samefile(given, run)
        assert not given.startswith("-")
    assert pasted_into_bash(pasted.tool("tensorboard", "--logdir", run), tmp_path) == ["--logdir", str(run)]
    assert pasted_into_bash(pasted.tool("python", "-m", "lipnet.certify", run), tmp_path) == [
        "-m", "lipnet.certify", str(run)
    ]  # fmt: skip


@pytest.mark.parametrize("typed", ["my run, two", "x'y", "1_000", "~x", "[a]"])
def test_a_directory_that_is_there_needs_no_quotes_of_hydra_s(tmp_path, monkeypatch, typed):
    monkeypatch.chdir(tmp_path)
    (tmp_path / typed / ".hydra").mkdir(parents=True)
    (tmp_path / typed / ".hydra" / "overrides.yaml").write_text("- seed=7\n")
    assert prepare([f"resume={typed}"])[0] == "seed=7"


@pytest.mark.parametrize("folder", ["mine", "my own, [files]"])
def test_a_command_names_the_folder_of_configurations(tools, tmp_path, monkeypatch, folder):
    (tmp_path / folder / "experiment").mkdir(parents=True)
    (tmp_path / folder / "experiment" / "it.yaml").write_text("# @package _global_\nseed: 5\n")
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text("- experiment=it\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    command = pasted.on_run("resume", "run", config_dir=folder)
    monkeypatch.chdir(tmp_path / "elsewhere")
    prepared = prepare(pasted_into_bash(command, tmp_path))
    assert prepared[:3] == ["--config-dir", str(tmp_path / folder), "experiment=it"]


# argv[0], processes, where it is called -> how the program is called again
CALLED = {
    "installed": ("/somewhere/bin/lipnet", 1, ".", "lipnet"),
    "a module": (str(ROOT / "lipnet" / "__main__.py"), 1, ".", "python -m lipnet"),
    "a script here": ("train.py", 1, str(ROOT), "python train.py"),
    "a script elsewhere": ("../train.py", 1, str(ROOT / "tests"), f"python {ROOT / 'train.py'}"),
    "a shared script": ("train.py", 2, str(ROOT), "torchrun --nproc_per_node=2 train.py"),
    "a shared module": ("/x/lipnet/__main__.py", 3, ".", "torchrun --nproc_per_node=3 -m lipnet"),
}


@pytest.mark.parametrize("what", CALLED)
def test_the_program_is_called_as_it_was(tools, monkeypatch, what):
    script, processes, folder, expected = CALLED[what]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [script])
    monkeypatch.setitem(sys.modules, "lipnet.training.distributed", SimpleNamespace(size=lambda: processes))
    assert pasted.program() == expected


def test_tools_of_an_environment_that_is_not_activated_are_called_by_their_path(tools, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert pasted.tool("lipnet-results", "runs") == f"{tools / 'lipnet-results'} runs"
    assert pasted.program() == str(tools / "lipnet")
