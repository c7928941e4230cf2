import builtins
import itertools
import sys

import pytest
import torch
from scipy.stats import wasserstein_distance

from lipnet.data.transport import assignment, cost_matrix, transport_cost


@pytest.fixture(params=["scipy", "pot"])
def solver(request, monkeypatch):
    """With POT where it is installed, and without."""
    if request.param == "pot":
        pytest.importorskip("ot", reason="the optional extra lipnet[ot] is not installed")
        return
    original = builtins.__import__

    def refuse(name, *rest, **others):
        if name == "ot":
            raise ImportError(name)
        return original(name, *rest, **others)

    monkeypatch.setitem(sys.modules, "ot", None)
    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.mark.usefixtures("solver")
def test_one_dimension_against_sorting():
    first, second = torch.randn(300, dtype=torch.float64), torch.rand(300, dtype=torch.float64)
    exact = wasserstein_distance(first.numpy(), second.numpy())
    assert transport_cost(first[:, None], second[:, None]) == pytest.approx(exact, rel=1e-12)


@pytest.mark.usefixtures("solver")
def test_a_few_points_against_every_assignment():
    first, second = torch.randn(6, 2, 2), torch.randn(6, 2, 2)
    cost = [[float((a - b).double().norm()) for b in second] for a in first]
    best = min(sum(cost[i][j] for i, j in enumerate(order)) / 6 for order in itertools.permutations(range(6)))
    assert transport_cost(first, second) == pytest.approx(best, rel=1e-6)


@pytest.mark.usefixtures("solver")
def test_repeated_points_and_no_distance():
    points = torch.randn(4, 3).repeat_interleave(5, dim=0)
    assert transport_cost(points, points.flip(0)) == 0
    assert transport_cost(torch.zeros(3, 2), torch.tensor([[3.0, 4.0]]).expand(3, 2)) == pytest.approx(5)


def test_unequal_numbers_are_refused():
    with pytest.raises(ValueError, match="equally many points, got 2 and 3"):
        transport_cost(torch.zeros(2, 1), torch.zeros(3, 1))


def test_assignment_is_the_permutation():
    points = torch.randn(20, 3)
    order = torch.randperm(20)
    assert torch.equal(assignment(cost_matrix(points[order], points)), order)


def test_close_points_keep_their_distance():
    """A distance by ``|x|² + |y|² - 2 <x, y>`` would lose it."""
    first = torch.full((1, 3), 1e4, dtype=torch.float64)
    assert float(cost_matrix(first, first + 1e-6)) == pytest.approx(3**0.5 * 1e-6, rel=1e-5)
