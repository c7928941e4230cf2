import math

import pytest
import torch
from torch.distributions import Dirichlet, MixtureSameFamily, Normal

from lipnet.errors import UserError
from lipnet.options.posteriors import Classification, Regression
from lipnet.tasks.bayes.constraints import (
    complement,
    constraints_of,
    excess_of_classes,
    excess_of_intervals,
    membership,
    register_constraint,
)

DOMAIN = torch.tensor([[-5.0, 5.0]], dtype=torch.float64)
BOX = [[-1.0, 1.0]]


def constraint(domain=DOMAIN, inputs=BOX, **kind):
    written = {"inputs": inputs, **kind}
    if "classes" in kind:
        option = Classification("x", [written], 50, False, 1e4, [15.0, 2.0], [10.0, 0.5])
    else:
        option = Regression("x", [written], 50, False, 1e4, [15.0, 2.0], 0.1, 1.5)
    (found,) = constraints_of(option, domain)
    return found


def column(*values):
    return torch.tensor(values, dtype=torch.float64)


@register_constraint("above the square", lipschitz=2.0)
def above_the_square(inputs):
    return [(inputs[:, 0] ** 2, torch.full_like(inputs[:, 0], math.inf))]


# kind -> an input, outputs there, and which of them violate
VIOLATED = {
    "an interval": ({"permitted": [[2.5, 3.0]]}, 0.0, [2.4, 2.5, 2.7, 3.0, 3.1], [1, 0, 0, 0, 1]),
    "two intervals": ({"permitted": [[0, 1], [2, None]]}, 0.0, [-1, 0.5, 1.5, 2.5], [1, 0, 1, 0]),
    "a forbidden band": ({"forbidden": [[-5, -3]]}, 0.0, [-6, -5, -4, -3, 0], [0, 0, 1, 0, 0]),
    "lines": ({"permitted": [[[2.0, -1.0], [7.0, -1.0]]]}, 1.0, [0.9, 1.0, 6.0, 6.1], [1, 0, 0, 1]),
    "curves": ({"curves": [[4.0, 0.0, 0.0, 2.0], [-4.0]]}, 1.0, [2.9, 3.1, 9.1, -0.9, -1.1], [1, 0, 1, 1, 0]),
    "a function": ({"function": "above the square"}, 1.0, [0.9, 1.0, 2.0], [1, 0, 0]),
}


@pytest.mark.parametrize("name", VIOLATED)
def test_what_is_forbidden_is_a_violation(name):
    kind, x, outputs, violated = VIOLATED[name]
    inputs = torch.full((len(outputs), 1), x, dtype=torch.float64)
    values = column(*outputs)[:, None]
    found = constraint(**kind)
    assert found.violated(inputs, values).tolist() == list(map(bool, violated))
    assert torch.equal(found.excess(inputs, values) > 0, found.violated(inputs, values))


def test_a_class_that_is_not_permitted_is_a_violation():
    found = constraint(classes=[1, 2])
    logits = torch.tensor([[1.0, 2.0, 0.0], [3.0, 2.0, 0.0], [1.0, 0.0, 1.5], [1.0, 1.0, 0.0]], dtype=torch.float64)
    assert found.violated(torch.zeros(4, 1), logits).tolist() == [False, True, False, True]
    assert excess_of_classes(logits, [1, 2]).tolist() == [-1.0, 1.0, -0.5, 0.0]


def test_the_factor_of_intervals_is_the_papers():
    """``-γ / S Σ_s Π_j s(h_j)``, with the paper's soft membership."""

    def soft(z):
        return (torch.tanh(-15.0 * z) + 1) * (torch.tanh(-2.0 * z) + 1) / 4

    values = torch.randn(3, 50, 1, dtype=torch.float64)
    found = constraint(forbidden=[[-0.5, 0.5]])
    wanted = -1e4 * (soft(-0.5 - values) * soft(values - 0.5)).mean((1, 2))
    torch.testing.assert_close(found.log_factor(found.points(50))(values), wanted)
    found = constraint(permitted=[[-0.5, 0.5]])
    wanted = -1e4 * (soft(values + 0.5) + soft(0.5 - values)).mean((1, 2))
    torch.testing.assert_close(found.log_factor(found.points(50))(values), wanted)


def test_the_factor_of_curves_is_a_mixture_of_gaussians():
    found, values = constraint(curves=[[4.0, 0.0, 0.0, 2.0], [-4.0]]), torch.randn(3, 50, 1, dtype=torch.float64)
    x = found.points(50)
    means = torch.stack([4 + 2 * x[:, 0] ** 3, torch.full_like(x[:, 0], -4)], 1)
    mixture = MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(50, 2).double()), Normal(means, torch.tensor(1.5).double())
    )
    constant = 50 * math.log(1.5 * math.sqrt(2 * math.pi))
    torch.testing.assert_close(found.log_factor(x)(values), mixture.log_prob(values[..., 0]).sum(1) + constant)


def test_the_factor_of_classes_is_a_dirichlet_distributions():
    found, logits = constraint(classes=[1]), torch.randn(4, 50, 3, dtype=torch.float64)
    law = Dirichlet(torch.tensor([0.5, 10.0, 0.5], dtype=torch.float64))
    densities = law.log_prob(logits.softmax(-1)).sum(1)
    factors = found.log_factor(found.points(50))(logits)
    torch.testing.assert_close(factors - factors[0], densities - densities[0])


def test_soft_membership_goes_from_one_to_nothing():
    assert membership(column(-3.0), [15.0, 2.0]).item() == pytest.approx(1, abs=1e-5)
    assert membership(column(0.0), [15.0, 2.0]).item() == 0.25
    assert membership(column(1.0), [15.0, 2.0]).item() < 1e-10


@pytest.mark.parametrize(("dimensions", "count", "got"), [(1, 100, 100), (2, 50, 49), (3, 64, 64), (8, 64, 64)])
def test_points_lie_in_the_region(dimensions, count, got):
    domain = torch.tensor([[-1.0, 2.0]] * dimensions, dtype=torch.float64)
    found = constraint(domain, [[0.0, 1.0], *[None] * (dimensions - 1)], permitted=[[0.0, 1.0]])
    for points in (found.points(count), found.points(got, torch.Generator().manual_seed(0))):
        assert points.shape == (got, dimensions)
        low, high = found.box.T
        assert bool(((low <= points) & (points <= high)).all())
    assert torch.equal(found.points(count), found.points(count))


def test_the_complement_of_intervals_is_what_they_leave():
    def ends(low, high):
        return column(low), column(high)

    def shown(intervals):
        return [(low.item(), high.item()) for low, high in intervals]

    infinite = math.inf
    assert shown(complement([ends(0.0, 1.0)])) == [(-infinite, 0.0), (1.0, infinite)]
    assert shown(complement([ends(2.0, infinite), ends(0.0, 1.0)])) == [(-infinite, 0.0), (1.0, 2.0)]
    assert shown(complement([ends(-infinite, 0.0)])) == [(0.0, infinite)]
    assert excess_of_intervals(column(0.25), [ends(0.0, 1.0)]).item() == -0.25


def test_a_function_that_nobody_registered_is_refused():
    with pytest.raises(UserError, match="no function wiggle is registered; there are above the square"):
        constraint(function="wiggle")


@pytest.mark.parametrize("name", ["quartic", "three_blobs", "forbidden_box", "two_lines", "sign"])
def test_an_output_that_is_no_number_violates(make_density, name):
    density = make_density(name)
    for constraint, points in zip(density.constraints, density.points, strict=True):
        outputs = torch.full((len(points), 3), math.nan, dtype=torch.float64)
        assert constraint.violated(points, outputs).all()
