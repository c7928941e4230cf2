"""Every candidate of the benchmark computes the same; what it measures is nobody's test."""

import sys

import pytest
import torch
from launching import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "benchmarks"))
import per_example

ROW = "toy k=3 layers=2 rate=1 batch=8"


@pytest.fixture(autouse=True)
def without_opacus(monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus", None)


@pytest.mark.parametrize("suite", per_example.SUITES)
def test_candidates_compute_the_same(suite):
    make, batch = per_example.ROWS[ROW]
    network = make(12).double()
    inputs, targets = torch.randn(batch, 3, 12, 12, dtype=torch.float64), torch.arange(batch)
    runs = per_example.SUITES[suite](network, inputs, targets)
    del runs["ordinary backward"]
    found = {name: run() for name, run in runs.items()}
    for name, values in found.items():
        parts = list(values.values()) if isinstance(values, dict) else values
        torch.testing.assert_close(parts, list(found["auto"].values()), msg=name)


def test_a_peak_is_what_was_needed_at_once():
    floats = 2**22
    found = per_example.peak_memory(lambda: torch.ones(floats).sum())
    assert found > 3 * floats or found == 0  # where the system does not tell


def test_the_tables(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(per_example, "peak_memory", lambda run: 2**20)  # slow in a process that holds much
    report = per_example.main(
        [
            "--rows",
            ROW,
            "--images",
            "12",
            "--rounds",
            "1",
            "--seconds",
            "0",
            "--threads",
            "1",
            "--json",
            str(tmp_path / "report.json"),
        ]
    )
    assert "opacus is not installed: left out" in capsys.readouterr().out
    assert {"auto", "naive", "multi", "crb", "unfold"} < set(report["gradients"][ROW])
    assert {"auto", "naive", "multi", "crb", "unfold", "ghost"} < set(report["clip"][ROW])
    assert report["clip"][ROW]["auto"]["ratio"] == 1
    assert (tmp_path / "report.json").read_text().startswith("{")


def test_networks_of_the_paper():
    widths = [module.out_channels for module in per_example.toy(3, 4, 2.5, 32) if hasattr(module, "out_channels")]
    assert widths == [25, 62, 156, 390]
    assert per_example.toy(5, 3, 1.0, 64)(torch.zeros(1, 3, 64, 64)).shape == (1, 10)
