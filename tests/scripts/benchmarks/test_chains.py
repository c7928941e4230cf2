"""Chains in a batch and one after the other, in small."""

import sys

import pytest
from launching import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "benchmarks"))
import chains


@pytest.mark.parametrize("dataset", ["quartic", "three_blobs"])
def test_both_ways_are_timed(capsys, dataset):
    found = chains.main([f"--dataset={dataset}", "--chains=3", "--rounds=2", "--threads=1", "--processor-time"])
    assert list(found) == ["in one batch", "one after the other"]
    assert f"an iteration of 3 chains, {dataset} (2 rounds)" in capsys.readouterr().out
