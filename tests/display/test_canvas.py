"""Figures are drawn whatever backend, settings or display the environment names."""

import os
import subprocess
import sys

import pytest

from lipnet.display.canvas import blank_figure, picture

DRAW = """
import sys
from lipnet.display.canvas import blank_figure, picture
figure = blank_figure(figsize=(2, 1))
figure.add_subplot().plot([1, 2])
figure.savefig(sys.argv[1] + ".png")
figure.savefig(sys.argv[1] + ".svg")
assert picture(figure).shape == (3, 100, 200)
assert "matplotlib.pyplot" not in sys.modules
"""
ENVIRONMENTS = {
    "a notebook's backend": {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
    "no backend of that name": {"MPLBACKEND": "nonsense"},
    "a backend that needs a display": {"MPLBACKEND": "tkagg", "DISPLAY": ""},
    "an empty backend": {"MPLBACKEND": ""},
    "bytes for settings": {"MATPLOTLIBRC": "rc"},
    "settings that need LaTeX": {"MATPLOTLIBRC": "latex"},
    "settings that are not there": {"MATPLOTLIBRC": "nowhere"},
    "a folder of settings that cannot be made": {"MPLCONFIGDIR": "/proc/nothing"},
}


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_a_figure_is_drawn_in(environment, tmp_path):
    (tmp_path / "rc").write_bytes(b"backend: nonsense\nfigure.dpi: \xff\n")
    (tmp_path / "latex").write_text("text.usetex: true\nfigure.dpi: 7\n")
    command = [sys.executable, "-W", "error", "-c", DRAW, str(tmp_path / "figure")]
    done = subprocess.run(command, env=os.environ | environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figure.png").stat().st_size
    assert (tmp_path / "figure.svg").stat().st_size


def test_the_environment_is_left_as_it_was(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    monkeypatch.delenv("MATPLOTLIBRC", raising=False)
    blank_figure()
    assert os.environ["MPLBACKEND"] == "nonsense"
    assert "MATPLOTLIBRC" not in os.environ


def test_a_picture_is_rows_of_bytes():
    figure = blank_figure(figsize=(2, 1), facecolor="red")
    found = picture(figure)
    assert found.shape == (3, 100, 200)
    assert found[:, 0, 0].tolist() == [255, 0, 0]
