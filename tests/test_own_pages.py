"""The pages for one's own data and code: ``pytest -m slow`` follows each from an empty folder to its end."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy
import pytest
from documented import OWN, commands
from PIL import Image

FILE = re.compile(r"`(\w+\.py)` (?:holds|makes)")
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
RANDOM = numpy.random.default_rng(0)


def pictures(folder):
    for number in range(40):
        for name, level in (("cat", 60), ("dog", 180)):
            place = folder / "pictures" / name
            place.mkdir(parents=True, exist_ok=True)
            noise = RANDOM.integers(-40, 40, size=(20, 24, 3)) + level
            Image.fromarray(noise.astype(numpy.uint8)).save(place / f"{number}.png")
    images, labels = RANDOM.integers(256, size=(60, 8, 8), dtype=numpy.uint8), numpy.arange(60) % 3
    numpy.savez(folder / "images.npz", x_train=images, y_train=labels)
    rows = [f"{RANDOM.normal():.3f},{label + RANDOM.normal():.3f},{'abc'[label]}" for label in labels]
    (folder / "flowers.csv").write_text("\n".join(["width,length,kind", *rows]))
    for name in ("before", "after"):
        numpy.save(folder / f"{name}.npy", RANDOM.normal(size=(1000, 3)) + (name == "after"))


@pytest.mark.slow
@pytest.mark.parametrize("page", OWN, ids=lambda page: page.stem)
def test_a_page_leads_from_an_empty_folder_to_its_end(page, tmp_path):
    text = page.read_text()
    pictures(tmp_path)
    for name, code in zip(FILE.findall(text), PYTHON.findall(text), strict=True):
        (tmp_path / name).write_text(textwrap.dedent(code))
    binaries = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    found = commands(page)
    assert found
    for command in found:
        line = small(command)
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def small(command):
    """Without what a page says of no sizes: the data are few already."""
    line = command.small()
    own_data = re.search("dataset=(image_folder|arrays|table|samples)", line)
    left_out = ("dataset.limit_train=64", "dataset.limit_test=16", "dataset.selection_samples=50",
                "dataset.evaluation_samples=200") if own_data else ()  # fmt: skip
    return " ".join(word for word in line.split() if word not in left_out)


def test_the_example_layer_is_short_and_edits_no_file_of_lipnet():
    (code,) = PYTHON.findall((OWN[1]).read_text())
    assert len(code.splitlines()) < 60
    assert "def test_" in code


def test_a_table_over_three_seeds_takes_three_commands_and_no_code():
    page = OWN[0].read_text().partition("## Arrays")[0]
    (block,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    assert len(block.splitlines()) == 3
    assert "```python" not in page
