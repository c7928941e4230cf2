"""README.md and docs/: every command is checked here, and run by ``pytest -m slow tests/test_docs.py``."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documented import NEEDS_CLUSTER, NOT_RUN, PAGES, commands
from launching import ROOT, made_environment

from lipnet.cli.arguments import prepare
from lipnet.results.__main__ import parser

DATA = os.environ.get("LIPNET_DATA")  # before the tests' own environment hides it
COMMANDS = {command.text: command for page in PAGES for command in commands(page)}
ANSWERED = ("resume=", "rerun=", "run=")


def test_the_pages_have_commands():
    assert {"README.md", "docs/tutorial.md", "docs/how-to/product.md"} <= {each.page for each in COMMANDS.values()}


@pytest.mark.parametrize("text", [text for text, each in COMMANDS.items() if each.program == "train.py"])
def test_the_program_takes_the_command(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word in COMMANDS[text].words:
        if word.startswith(ANSWERED):  # a run that the page made before
            saved = tmp_path / word.partition("=")[2] / ".hydra"
            saved.mkdir(parents=True)
            (saved / "overrides.yaml").write_text("[]")
    given = COMMANDS[text].arguments
    if "--info" in given:  # answers at once
        with pytest.raises(SystemExit, match="0"):
            prepare(given)
        return
    assert len(prepare(given)) >= len(given)


@pytest.mark.parametrize("text", [text for text, each in COMMANDS.items() if each.program == "lipnet-results"])
def test_the_table_takes_the_command(text):
    assert parser().parse_args(COMMANDS[text].arguments).directories


@pytest.mark.parametrize(
    "text", [text for text, each in COMMANDS.items() if each.program not in ("train.py", "lipnet-results")]
)
def test_other_programs_are_there(text):
    program = COMMANDS[text].program
    assert (ROOT / program).is_file() or program in (*NOT_RUN, "lipnet.certify")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_of_a_page_run_in_their_order(page, tmp_path):
    """Each on a few examples, in a copy of the checkout; ``...`` stands for the newest run directory."""
    folder = _checkout(tmp_path)
    binaries = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{_tools(tmp_path)}{os.pathsep}{binaries}{os.pathsep}{os.environ['PATH']}"}
    environment |= made_environment(tmp_path / "venv") | ({"LIPNET_DATA": DATA} if DATA else {})
    for command in commands(page):
        if command.program in NOT_RUN or NEEDS_CLUSTER.search(command.text):
            continue
        if not DATA and re.search("mnist|cifar10", command.text):
            continue
        line = re.sub(r"(outputs/\S*)\.\.\.", lambda match: _newest(folder, match[1]), command.small())
        done = subprocess.run(
            line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def _checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    for path in ROOT.iterdir():  # what is written, docs/configuration.md among it, goes into the copy
        if path.name in ("docs", "scripts", "conf", "lipnet", "train.py"):
            subprocess.run(["cp", "-r", str(path), str(folder)], check=True)
    return folder


def _tools(tmp_path: Path) -> Path:
    """This Python's ``torchrun``, ``lipnet`` and ``lipnet-results``, wherever pip put them."""
    modules = {"torchrun": "torch.distributed.run", "lipnet": "lipnet", "lipnet-results": "lipnet.results"}
    (tmp_path / "bin").mkdir()
    for name, module in modules.items():
        tool = tmp_path / "bin" / name
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        tool.chmod(0o755)
    return tmp_path / "bin"


def _newest(folder: Path, below: str) -> str:
    names = ("results.json", "certificate.json")
    files = [path for path in (folder / below).rglob("*.json") if path.name in names]
    return str(max(files, key=lambda path: path.stat().st_mtime).parent.relative_to(folder))
