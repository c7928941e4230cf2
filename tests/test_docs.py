"""README.md and docs/: every command is checked here, and run by ``pytest -m slow tests/test_docs.py``."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documented import NEEDS_CLUSTER, NOT_RUN, OWN, PAGES, commands, table_commands
from launching import ROOT, made_environment

from lipnet.cli.arguments import prepare
from lipnet.results.__main__ import parser

DATA = os.environ.get("LIPNET_DATA")  # before the tests' own environment hides it
FOLLOWED = [page for page in PAGES if page not in OWN]
COMMANDS = {command.text: command for page in FOLLOWED for command in commands(page) + table_commands(page)}
INDEX = ROOT / "docs" / "README.md"
README_BYTES = 12_000  # for users, at one sitting; the rest is in docs/
ANSWERED = ("resume=", "rerun=", "run=")


def test_the_pages_have_commands():
    found = {page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in PAGES[2:] if commands(page)}
    assert found >= {"cluster", "command-line", "gan", "how-to/product", "tables", "tutorial", "wasserstein"}
    assert commands(ROOT / "README.md")
    assert len(table_commands(ROOT / "README.md")) == 9
    assert len(table_commands(ROOT / "docs" / "measured.md")) > 25


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= README_BYTES


def test_the_readme_and_ci_run_the_same_tests():
    """What a user is told to run is what is run for every change."""
    told = {command.program for command in commands(ROOT / "README.md")}
    run = {line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("scripts/")}
    assert told & run == {"scripts/test.sh"}


def test_the_index_leads_to_every_page():
    reached = {(INDEX.parent / path).resolve() for path, _ in _links(INDEX)}
    below = INDEX.parent / "how-to"
    reached |= {(below / path).resolve() for path, _ in _links(below / "README.md")}
    assert set(PAGES) - {ROOT / "SECURITY.md"} - reached == set()


def test_every_picture_is_shown():
    shown = {(page.parent / path).resolve() for page in PAGES for path, _ in _links(page)}
    assert set((ROOT / "docs").glob("*.png")) - shown == set()


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
    for path, anchor in _links(page):
        if not path.startswith("https://"):
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), path
            assert not anchor or anchor in _anchors(target), f"{path}#{anchor}"


@pytest.mark.slow
@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.relative_to(ROOT).as_posix())
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


def _links(page: Path) -> list[tuple[str, str]]:
    """Paths and anchors of a page's links and pictures."""
    return re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", _prose(page))


def _anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links."""
    titles = re.findall("^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _prose(page: Path) -> str:
    """A page without its blocks of code, in which brackets and # are something else."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


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
