"""Random networks, changed behind their rules' backs (``scripts/stress/perturb_networks.py``), in small numbers."""

import sys

import pytest
from launching import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "stress"))
import perturb_networks
from perturb_networks import CHANGES, Random, verdicts
from torch import nn

from lipnet.certify import bound as bounds

EACH = 5  # networks for each kind of change
HARMLESS = ("nothing", "backward hook", "harmless subclass", "in place", "shared module")
# Changes that the class' own code says nothing of, so that a bound is never given.
REFUSED = ("forward hook", "forward pre hook", "hook on all modules", "compiled call", "complex weights", "wrapped")


@pytest.mark.parametrize("kind", CHANGES)
def test_no_changed_network_is_steeper_than_its_bound(kind):
    found = list(verdicts(Random(kind), EACH, [kind]))
    assert len(found) == EACH
    assert [verdict.wrong for verdict in found if verdict.wrong] == []
    if kind in HARMLESS:
        assert not any(verdict.refused for verdict in found)
    if kind in REFUSED:
        assert all(verdict.refused for verdict in found)


@pytest.mark.parametrize("kind", ["forward hook", "overridden method", "replaced method", "patched class"])
def test_without_the_second_look_the_search_finds_wrong_bounds(kind, monkeypatch):
    monkeypatch.setattr(bounds, "unfaithful", lambda *args, **options: None)
    monkeypatch.setattr(bounds, "refute", lambda *args: None)
    monkeypatch.setattr(perturb_networks, "to_plain", lambda network: network)
    assert any(verdict.wrong for verdict in verdicts(Random(1), 8, [kind]))


@pytest.mark.parametrize("kind", ["forward hook", "overridden method", "patched class", "patched function"])
def test_a_few_forward_passes_alone_find_most(kind, monkeypatch):
    """The probe, where nothing looks at the classes: what it misses is why they are looked at."""
    monkeypatch.setattr(bounds, "unfaithful", lambda *args, **options: None)
    monkeypatch.setattr(perturb_networks, "to_plain", lambda network: network)
    assert any(verdict.refused for verdict in verdicts(Random(2), 8, [kind]))


def test_a_network_with_more_than_one_output_is_judged():
    maxima = nn.Sequential(nn.MaxPool1d(2, return_indices=True))
    assert perturb_networks._plain_fault(maxima, (2, 4)) is None
