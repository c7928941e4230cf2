"""Hidden permutations, in small."""

import sys

import pytest
from launching import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "benchmarks"))
import permutations


@pytest.mark.parametrize("size", [3, 5])
def test_the_penalty_makes_permutations(size):
    free, drawn = (permutations.match(size, weight, problems=20, steps=400) for weight in (0.0, 3.0))
    assert drawn["valid"] == drawn["repaired"] == free["repaired"] == 1
    assert drawn["penalty"] < 0.2 < free["penalty"]
    assert drawn["exact"] >= 0.5


def test_the_table(capsys, monkeypatch):
    monkeypatch.setattr(permutations, "SIZES", (2,))
    permutations.main(["--problems=3", "--steps=5"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(permutations.WEIGHTS)
    assert lines[2].startswith("| 2 | 0 | ")
