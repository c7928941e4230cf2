import re

import pytest
import torch
from launching import ROOT

import lipnet
from lipnet.runs import machine
from lipnet.runs.machine import git_commit, peak_memory_bytes, versions


@pytest.fixture(autouse=True)
def _forget():
    yield
    git_commit.cache_clear()


def test_versions():
    found = versions()
    assert found["lipnet"] == lipnet.__version__
    assert torch.__version__.startswith(found["torch"])
    assert {"python", "machine", "torchvision", "hydra-core", "numpy"} <= set(found)
    assert all(isinstance(value, str) and value for value in found.values())


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_the_commit_of_a_checkout():
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", git_commit())


def test_no_commit_outside_a_checkout(tmp_path, monkeypatch):
    git_commit.cache_clear()
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "site" / "lipnet" / "runs" / "machine.py"))
    assert git_commit() is None


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_no_commit_without_git(monkeypatch, tmp_path):
    git_commit.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() is None


def test_peak_memory_is_in_bytes():
    """Python with torch in it takes between 50 MB and 1 TB."""
    assert 50e6 < peak_memory_bytes(torch.device("cpu")) < 1e12
