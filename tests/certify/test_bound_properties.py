"""Bounds of random modules and networks against their Jacobians and the steepest pairs of points found."""

import sys
from statistics import median

import pytest
import torch
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st
from launching import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "stress"))
import check_bounds
from check_bounds import check, random_layer, random_network, random_shape

from lipnet.certify.bound import output_shape

quick = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), max_examples=100
)
randoms = st.randoms(use_true_random=False)


def _check(module, shape):
    if min(output_shape(module, shape)) < 1:
        return None
    outcome = check(module, shape, points=2)
    assert not outcome.broken, f"{module} on {shape}: bound {outcome.bound!r}, found {outcome.found!r}"
    return outcome if outcome.found > 0 else None


@pytest.mark.filterwarnings("ignore::UserWarning:hypothesis")
def test_no_layer_is_steeper_than_its_bound():
    ratios = []

    @quick
    @given(randoms)
    def every_layer(draw):
        shape = random_shape(draw)
        outcome = _check(random_layer(draw, shape), shape)
        if outcome:
            ratios.append(outcome.tightness)

    every_layer()
    assert len(ratios) > 80
    assert median(ratios) <= 1.01


@quick
@given(randoms)
def test_no_network_is_steeper_than_its_bound(draw):
    shape = random_shape(draw)
    outcome = _check(random_network(draw, shape, draw.randint(2, 5)), shape)
    if outcome:
        target(-outcome.tightness)


def test_a_wrong_bound_is_found_out(monkeypatch):
    """The search finds what it should: slopes, and quotients of nonlinear networks."""
    monkeypatch.setattr(check_bounds, "lipschitz_bound", lambda module, shape: 1.0)
    outcomes = check_bounds.random_outcomes(check_bounds.Random(1), 40)
    assert sum(outcome.broken for _, outcome in outcomes) >= 14


@pytest.mark.parametrize(("kind", "shape"), [("BlockedLinear", (7,)), ("BlockedConv2d", (3, 5, 5))])
def test_layers_in_blocks_are_drawn_and_their_float32_slopes_measured(kind, shape):
    """Float64 passes take the sums as a whole, so that they say nothing of the blocks."""
    draws = (random_layer(check_bounds.Random(seed), shape) for seed in range(100))
    layer = next(module for module in draws if type(module).__name__ == kind).requires_grad_(False)
    places = torch.zeros(1, *shape, dtype=torch.float64)
    (measured,) = check_bounds._in_blocks(layer, places)
    (exact,) = check_bounds.jacobian_norms(layer.double(), places)
    assert measured == pytest.approx(exact, rel=2e-4)
