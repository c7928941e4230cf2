"""scripts/stress/audit_privacy.py: what it proves of epsilon, and that it proves something where noise is missing."""

import math
import sys

import pytest
import torch
from launching import ROOT
from scipy.stats import binom

sys.path.insert(0, str(ROOT / "scripts" / "stress"))
import audit_privacy


@pytest.mark.parametrize(("right", "guesses"), [(60, 100), (75, 100), (99, 100), (100, 100)])
def test_the_bound_is_where_so_many_right_guesses_become_unlikely(right, guesses):
    found = audit_privacy.lower_bound(right, guesses, canaries=150)
    allowed = 0.05 / 2 - 2 * 150 * 1e-8
    assert found == 0 or binom.sf(right - 1, guesses, 1 / (1 + math.exp(-found))) <= allowed
    assert binom.sf(right - 1, guesses, 1 / (1 + math.exp(-found - 1e-3))) > allowed


def test_guesses_by_chance_prove_nothing():
    assert audit_privacy.lower_bound(60, 120, 180) == 0


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_randomized_response_is_never_found_to_spend_more(epsilon):
    """Its epsilon is known: every answer is right with probability e^epsilon / (1 + e^epsilon)."""
    generator = torch.Generator().manual_seed(0)
    rights = (torch.rand(200, 120, generator=generator) < 1 / (1 + math.exp(-epsilon))).sum(1).tolist()
    bounds = [audit_privacy.lower_bound(right, 120, 180, runs=200) for right in rights]
    assert max(bounds) <= epsilon
    assert max(bounds) > 0.1 * epsilon


def _ends(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["audit_privacy.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        audit_privacy.main()
    return ended.value.code


def test_missing_noise_is_caught(monkeypatch, capsys):
    line = ("--runs", "1", "--epsilons", "0.5", "--rates", "1", "--examples", "60", "--canaries", "60")
    assert _ends(monkeypatch, *line, "--noise-factor", "0.01") == 1
    assert "1 of 1 runs show more than they claim" in capsys.readouterr().out
    assert _ends(monkeypatch, *line) == 0


@pytest.mark.slow
def test_no_run_shows_more_than_it_claims(monkeypatch, capsys):
    assert _ends(monkeypatch) == 0
    assert "0 of 20 runs" in capsys.readouterr().out
