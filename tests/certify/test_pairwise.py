import math
from fractions import Fraction

import pytest
import torch
from torch import nn

from lipnet.certify import (
    certified_radii,
    lipschitz_bound,
    margins,
    pairwise_certified_radii,
    pairwise_lipschitz_bounds,
)
from lipnet.layers import MaxMin, Normalize, OrthogonalLinear, UnitRowLinear


def ending_with(rows, *features, dtype=torch.float64):
    weight = torch.tensor(rows, dtype=dtype) if isinstance(rows, list) else rows
    last = nn.Linear(weight.shape[1], weight.shape[0]).to(weight.dtype)
    last.weight.data = weight.clone()
    return nn.Sequential(*features, last)


ROWS = [[3.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]]


def test_constants_known_by_hand():
    found = pairwise_lipschitz_bounds(ending_with(ROWS), (3,))
    expected = torch.tensor([[0, 5, 3], [5, 0, 4], [3, 4, 0]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert (found >= expected).all()
    assert (found > 0).all()


def test_the_features_bound_multiplies():
    model = ending_with(ROWS, Normalize([0.0], [0.5]), nn.Flatten(), OrthogonalLinear(4, 3).double(), nn.ReLU())
    found = pairwise_lipschitz_bounds(model, (1, 2, 2))
    assert float(found[0, 1]) == pytest.approx(10, rel=1e-6)
    assert float(found[0, 1]) >= 10 * (1 - 1e-12)


def test_rows_that_are_orthonormal_give_the_global_bound():
    model = nn.Sequential(OrthogonalLinear(6, 6), MaxMin(), OrthogonalLinear(6, 4)).double()
    found, largest = pairwise_lipschitz_bounds(model, (6,)), math.sqrt(2) * lipschitz_bound(model, (6,))
    others = found[~torch.eye(4, dtype=torch.bool)]
    torch.testing.assert_close(others, torch.full_like(others, largest), rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    "model",
    [nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Linear(3, 4), nn.Sequential(nn.Sequential(nn.Linear(3, 4)))],
    ids=["no last linear layer", "no sequence", "nested"],
)
def test_other_networks_have_the_global_bound(model):
    found = pairwise_lipschitz_bounds(model, (3,))
    assert found.shape == (4, 4)
    assert float(found.min()) == float(found.max()) == pytest.approx(math.sqrt(2) * lipschitz_bound(model, (3,)))


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1.0, 1e30, 1e150])
def test_constants_are_rounded_up(scale):
    """In exact arithmetic, over many rows; also where squares would under- or overflow."""
    weight = scale * torch.randn(6, 9, dtype=torch.float64)
    weight[1] = weight[0] * (1 + 1e-12)  # nearly equal: the difference cancels
    found = pairwise_lipschitz_bounds(ending_with(weight), (9,))
    exact = [[Fraction(value) for value in row] for row in weight.tolist()]
    for i in range(6):
        for j in range(6):
            square = sum((a - b) ** 2 for a, b in zip(exact[i], exact[j], strict=True))
            assert Fraction(float(found[i, j])) ** 2 >= square
            if (i > 1) != (j > 1):
                assert float(found[i, j]) == pytest.approx(math.sqrt(square / Fraction(scale) ** 2) * scale, rel=1e-12)


def test_weights_that_diverged_certify_nothing():
    weight = torch.ones(3, 4, dtype=torch.float64)
    weight[0, 0] = math.nan
    constants = pairwise_lipschitz_bounds(ending_with(weight), (4,))
    radii = pairwise_certified_radii(torch.tensor([[5.0, 1.0, 0.0]]), torch.tensor([0]), constants)
    assert radii.tolist() == [0.0]


def test_equal_rows_do_not_give_an_infinite_radius():
    model = ending_with([[1.0, 0.0], [1.0, 0.0]])
    radii = pairwise_certified_radii(
        torch.tensor([[5.0, 1.0]]).double(), torch.tensor([0]), pairwise_lipschitz_bounds(model, (2,))
    )
    assert 1e10 < float(radii) < math.inf


CONSTANTS = torch.tensor([[1.0, 2.0, 4.0], [2.0, 1.0, 8.0], [4.0, 8.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("logits", "label", "expected"),
    [
        ([3.0, 1.0, 1.0], 0, 0.5),  # class 2 is as near in logits and farther per unit: min(2/2, 2/4)
        ([3.0, 2.5, -1.0], 0, 0.25),  # min(0.5/2, 4/4)
        ([0.0, 3.0, 2.0], 1, 0.125),  # min(3/2, 1/8)
        ([0.0, 3.0, 3.0], 1, 0.0),
        ([0.0, 3.0, 4.0], 1, 0.0),
        ([math.nan, 3.0, 1.0], 1, 0.0),
        ([0.0, math.inf, 1.0], 1, 0.0),
    ],
)
def test_radii_known_by_hand(logits, label, expected):
    found = float(pairwise_certified_radii(torch.tensor([logits]).double(), torch.tensor([label]), CONSTANTS))
    assert found == pytest.approx(expected, abs=1e-8)
    assert found <= expected


def test_bad_arguments_are_refused():
    logits, labels = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
    for constants in (CONSTANTS[:2], CONSTANTS - 1, CONSTANTS * math.nan):
        with pytest.raises(ValueError, match="one for each pair"):
            pairwise_certified_radii(logits, labels, constants)
    with pytest.raises(TypeError, match="float32 or float64"):
        pairwise_certified_radii(logits.bfloat16(), labels, CONSTANTS)


@torch.no_grad()
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_radii_are_the_exact_distances_of_linear_networks(classes, dtype):
    """And so never below the global certificate, which is theirs only for two opposite rows."""
    model, inputs = ending_with(torch.randn(classes, 20, dtype=dtype)), 10 * torch.randn(200, 20, dtype=dtype)
    logits = model(inputs)
    labels, weight = logits.argmax(1), model[0].weight.double()
    radii = pairwise_certified_radii(logits, labels, pairwise_lipschitz_bounds(model, (20,)))
    exact_logits = inputs.double() @ weight.mT + model[0].bias.double()
    gaps = exact_logits.gather(1, labels[:, None]) - exact_logits
    lengths = (weight[labels][:, None] - weight).norm(dim=2)
    exact = (gaps / lengths).scatter(1, labels[:, None], math.inf).amin(1)
    assert (radii <= exact).all()
    torch.testing.assert_close(radii, exact, rtol=1e-6, atol=1e-2 if dtype is torch.float32 else 1e-6)
    assert (radii >= certified_radii(logits, labels, lipschitz_bound(model, (20,)))).all()


@torch.no_grad()
@pytest.mark.parametrize("head", [OrthogonalLinear, UnitRowLinear, nn.Linear])
def test_no_point_within_the_radius_is_misclassified(head):
    """Random and steepest directions, just inside the radius of a network with a nonlinear body."""
    model = nn.Sequential(OrthogonalLinear(8, 8), MaxMin(), head(8, 5)).double()
    if head is UnitRowLinear:
        model[2].raw_weight += torch.randn(8)  # far from orthogonal
    inputs = 5 * torch.randn(300, 8, dtype=torch.float64)
    logits = model(inputs)
    labels = logits.argmax(1)
    radii = pairwise_certified_radii(logits, labels, pairwise_lipschitz_bounds(model, (8,)))
    assert (radii >= certified_radii(logits, labels, lipschitz_bound(model, (8,)))).all()
    with torch.enable_grad():
        points = inputs.clone().requires_grad_()
        (steepest,) = torch.autograd.grad(margins(model(points), labels).sum(), points)
    for direction in (-steepest, *(torch.randn_like(inputs) for _ in range(20))):
        moved = inputs + radii[:, None] * direction / direction.norm(dim=1, keepdim=True)
        assert (margins(model(moved), labels)[radii > 0] > 0).all()
