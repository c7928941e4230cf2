import math

import pytest
import torch

from lipnet.certify.interval import bernstein_margin, normal_half_width


@pytest.mark.parametrize(("confidence", "z"), [(0.95, 1.959964), (0.99, 2.575829), (0.5, 0.674490)])
def test_normal_interval(confidence, z):
    assert normal_half_width(4.0, confidence) == pytest.approx(2 * z, rel=1e-6)


def test_bernstein_margin_is_the_theorem():
    """Maurer & Pontil 2009, theorem 4, for values in [0, 1], scaled to an interval of width 3."""
    values = 3 * torch.rand(50, dtype=torch.float64)
    scaled = values / 3
    variance = sum((float(a) - float(b)) ** 2 for a in scaled for b in scaled) / (2 * 50 * 49)
    term = math.log(2 / 0.01)
    expected = math.sqrt(2 * variance * term / 50) + 7 * term / (3 * 49)
    assert bernstein_margin(values, 3.0, 0.01) == pytest.approx(3 * expected, rel=1e-12)


@pytest.mark.parametrize("count", [5, 30, 500])
@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_bernstein_margin_covers(rate, count):
    """Bernoulli values, many skewed ones among them: the mean is missed at most as often as allowed."""
    delta, trials = 0.1, 2000
    values = (torch.rand(trials, count) < rate).double()
    missed = sum(float(row.mean()) - bernstein_margin(row, 1.0, delta) > rate for row in values)
    missed += sum(float(row.mean()) + bernstein_margin(row, 1.0, delta) < rate for row in values)
    assert missed / (2 * trials) <= delta


def test_bernstein_margin_of_values_that_are_off_is_on_the_safe_side():
    """What is proved from values that rounding has moved is never more than what the true ones prove."""
    for count in (2, 5, 200):
        true = torch.rand(count, dtype=torch.float64)
        for moved in (true + 0.01, true + 0.01 * torch.randn(count).sign(), true + 0.02 * (torch.rand(count) - 0.5)):
            proved = float(moved.mean()) - bernstein_margin(moved, 1.0, 0.05, 0.01)
            assert proved <= float(true.mean()) - bernstein_margin(true, 1.0, 0.05) + 1e-12


def test_equal_values_leave_the_range_term():
    assert bernstein_margin(torch.ones(101), 2.0, 0.05) == pytest.approx(7 * 2 * math.log(40) / 300)
