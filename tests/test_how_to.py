"""The pages of docs/how-to that add an option: what they show is applied to a copy, and works there without more."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from launching import ROOT

PAGES = [ROOT / "docs" / "how-to" / f"add-a-{what}.md" for what in ("layer", "loss", "dataset")]
STEP = re.compile(r"^\d\. (.*?)(?=^\d\. |^#|^Then|^```|\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^ +```\w+\n(.*?)^ +```", re.MULTILINE | re.DOTALL)
WHERE = re.compile(r"in\s+`((?:lipnet|conf|tests)/[\w/.]+)`")
COPIED = re.compile(r"copy `(\w+\.yaml)`")
TABLE = re.compile(r"A row of `(\w+)`")
TRAINED = {
    "images": ["dataset=bars", "loss=squared_hinge", "activation=clamp", "dataset.limit_train=64",
     "dataset.limit_test=16", "attack.steps=1", "attack.restarts=1", "attack.ddn_steps=2"],
    "pair": ["task=wasserstein", "dataset=halves", "model.hidden=[8]", "dataset.steps_per_epoch=3",
     "dataset.selection_samples=50", "dataset.evaluation_samples=200", "estimate.transport_samples=50"],
}  # fmt: skip
ROWS = ["tests/layers/test_harness.py", "tests/losses", "tests/data/pairs/test_pair.py", "tests/data/test_images.py",
        "tests/options/test_registry.py", "tests/export/test_exported_activations.py"]  # fmt: skip


def apply(step, folder):
    """Does to the copy what a step of a page says."""
    file, text = folder / WHERE.search(step)[1], "".join(map(textwrap.dedent, BLOCK.findall(step)))
    copied, table = COPIED.search(step), TABLE.search(step)
    if copied:
        text = file.with_name(copied[1]).read_text()
        text = text.replace(f"name: {Path(copied[1]).stem}", f"name: {file.stem}")
        text = text.replace(f"dataset={Path(copied[1]).stem}", f"dataset={file.stem}")
    if not file.exists():
        file.write_text(text)
        return
    imports = "".join(re.findall(r"^(?:from|import) .*\n", text, re.MULTILINE))
    text = re.sub(r"^(?:from|import) .*\n", "", text, flags=re.MULTILINE)
    before, first, after = file.read_text().partition("\nfrom lipnet")
    whole = f"{before}\n{imports.rstrip()}{first}{after}" if imports else before + first + after
    if table:
        head, opened, rest = re.split(rf"^({table[1]}\b.* = [\[{{].*\n)", whole, maxsplit=1, flags=re.MULTILINE)
        file.write_text(f"{head}{opened}{text}{rest}")
    else:
        file.write_text(f"{whole}\n{text}")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the checkout to which every step of every page was done, and how to run Python there."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in ("conf", "lipnet", "tests", "pyproject.toml", "setup.cfg", "train.py"):
        subprocess.run(["cp", "-r", str(ROOT / path), str(folder)], check=True)
    for page in PAGES:
        for step in STEP.findall(page.read_text()):
            apply(step, folder)

    def run(*words):
        environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    return folder, run


def test_a_page_shows_every_place():
    """Code, registration, defaults and a test's row; of a layer its rule besides."""
    places = [[WHERE.search(step)[1].partition("/")[0] for step in STEP.findall(page.read_text())] for page in PAGES]
    four = ["lipnet", "lipnet", "conf", "tests"]
    assert places == [["lipnet", *four], four, four * 2]


@pytest.fixture(scope="module")
def trained(copy):
    """For each of TRAINED its folder, its exit code and what it printed; torch is imported once for them."""
    folder, run = copy
    jobs = [
        {
            "arguments": [*overrides, "epochs=1", "progress=off", "device=cpu", f"hydra.run.dir={folder / name}"],
            "log": str(folder / f"{name}.txt"),
        }
        for name, overrides in TRAINED.items()
    ]
    (folder / "jobs.json").write_text(json.dumps([jobs]))
    done = run("tests/stopping.py", "jobs.json")
    assert done.returncode == 0, done.stdout + done.stderr
    codes = dict(zip(TRAINED, json.loads(done.stdout)[0], strict=True))
    return {name: (folder / name, codes[name], (folder / f"{name}.txt").read_text()) for name in TRAINED}


@pytest.mark.parametrize("name", TRAINED)
def test_what_the_pages_add_trains_and_is_evaluated(name, trained):
    directory, code, printed = trained[name]
    assert code == 0, printed
    assert yaml.safe_load((directory / "results.json").read_text())["status"] == "completed"


def test_the_rows_that_the_pages_add_pass(copy):
    names = "clamp or squared_hinge or bars or halves or every"
    done = copy[1]("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *ROWS, "-k", names)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 30
