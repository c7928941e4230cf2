"""scripts/stress/interval_coverage.py: its distributions have the means that it uses, and it prints what it counted."""

import math
import sys

import pytest
import torch
from launching import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "stress"))
import interval_coverage


@pytest.mark.parametrize("name", interval_coverage.DISTRIBUTIONS)
def test_means_are_those_of_the_distributions(name):
    first, second, mean = interval_coverage.DISTRIBUTIONS[name]
    random = torch.Generator().manual_seed(0)
    values = first(100_000, random) - (second(100_000, random) if second else 0)
    assert abs(float(values.mean()) - mean) < 4 * float(values.std()) / math.sqrt(len(values))


def test_it_counts(capsys, monkeypatch):
    monkeypatch.setattr(interval_coverage, "DISTRIBUTIONS", {
        "always": (lambda count, random: torch.arange(count).double(), None, 4.5),
        "never": (lambda count, random: torch.arange(count).double(), None, 100.0),
    })  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["interval_coverage.py", "--redraws", "4", "--counts", "10"])
    interval_coverage.main()
    rows = capsys.readouterr().out.splitlines()[2:]
    assert rows == ["| always | 100.0 (100.0, 1.000) |", "| never | 0.0 (0.0, 1.000) |"]


def test_a_directory_without_a_run_is_said(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["interval_coverage.py", "--runs", str(tmp_path)])
    with pytest.raises(SystemExit):
        interval_coverage.main()
    assert str(tmp_path) in capsys.readouterr().err
