"""The penalty and the projections of learned permutations, against closed forms."""

import math

import pytest
import torch

from lipnet.layers import OrthogonalizationError
from lipnet.layers.permutations import nearest_permutation, permutation_penalty, row_deficits, scaled

THRESHOLD = 1 - 1 / math.sqrt(2)
SIZES = [1, 2, 5, 32]


def permutation(size):
    return torch.eye(size, dtype=torch.float64)[torch.randperm(size)]


def mixture(size, count=3):
    """A doubly stochastic matrix, by Birkhoff's theorem."""
    weights = torch.rand(count, dtype=torch.float64).softmax(0)
    return sum(weight * permutation(size) for weight in weights)


@pytest.mark.parametrize("size", SIZES)
def test_the_penalty_is_zero_at_permutations_and_largest_where_all_are_equal(size):
    assert float(permutation_penalty(permutation(size))) == 0
    uniform = torch.full((size, size), 1 / size, dtype=torch.float64)
    largest = 2 * size * (1 - 1 / math.sqrt(size))
    assert float(permutation_penalty(uniform)) == pytest.approx(largest, abs=1e-12)
    for _ in range(20):
        assert -1e-12 <= float(permutation_penalty(mixture(size))) <= largest + 1e-12


@pytest.mark.parametrize("signs", [False, True])
def test_a_permutation_has_no_gradient_of_it(signs):
    """What is fixed is not moved by it."""
    matrix = permutation(6)
    matrix = (matrix * torch.tensor([1, -1, 1, -1, -1, 1])[:, None] if signs else matrix).requires_grad_()
    (gradient,) = torch.autograd.grad(permutation_penalty(matrix), matrix)
    assert torch.equal(gradient, torch.zeros_like(matrix))


def test_the_penalty_bounds_the_distance_to_the_permutation():
    """``|M - Q|_1 <= 2 P(M)`` where all row deficits are below the threshold."""
    for _ in range(200):
        base = permutation(8)
        matrix = 0.8 * base + 0.2 * mixture(8)
        assert float(row_deficits(matrix).max()) < THRESHOLD
        assert float((matrix - base).abs().sum()) <= 2 * float(permutation_penalty(matrix)) + 1e-12


def test_largest_entries_are_a_permutation_below_the_threshold():
    for _ in range(200):
        matrix = mixture(6, 4)
        if float(row_deficits(matrix).max()) < THRESHOLD:
            assert matrix.argmax(1).sort().values.tolist() == list(range(6))


def test_above_the_threshold_they_need_not_be():
    """Two rows with halves in one column have a deficit of ``1 - 1/sqrt(2)`` at least, and this one hardly more."""
    gap = 1e-6
    matrix = torch.tensor([[0.5, 0.5 - gap, gap], [0.5, gap, 0.5 - gap], [0.0, 0.5, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(matrix.sum(0), torch.ones(3, dtype=torch.float64))
    deficit = float(row_deficits(matrix).max())
    assert THRESHOLD < deficit < THRESHOLD + 1e-5
    assert matrix.argmax(1).tolist()[:2] == [0, 0]
    assert nearest_permutation(matrix).sort().values.tolist() == [0, 1, 2]


@pytest.mark.parametrize("signed", [False, True])
def test_scaled_rows_sum_to_one_and_columns_nearly(signed):
    matrix = scaled(torch.randn(7, 7, dtype=torch.float64), signed)
    assert signed or float(matrix.min()) == 0
    torch.testing.assert_close(matrix.abs().sum(1), torch.ones(7, dtype=torch.float64))
    for _ in range(200):
        matrix = scaled(matrix, signed)
    torch.testing.assert_close(matrix.abs().sum(0), torch.ones(7, dtype=torch.float64), atol=1e-2, rtol=0)


def test_what_has_lost_all_its_choices_begins_again():
    matrix = scaled(torch.tensor([[-1.0, -2.0], [1.0, 1.0]]))
    assert bool((matrix > 0).all()) or matrix[0].tolist() == [0.5, 0.5]
    torch.testing.assert_close(matrix.sum(1), torch.ones(2))


NEAREST = {
    "largest entries": ([[0.1, 0.9], [0.6, 0.4]], [1, 0]),
    "one column twice": ([[0.9, 0.1], [0.6, 0.4]], [0, 1]),
    "equal entries": ([[0.5, 0.5], [0.5, 0.5]], [0, 1]),
    "signs": ([[-0.9, 0.1], [0.2, -0.3]], [0, 1]),
}


@pytest.mark.parametrize("case", NEAREST)
def test_the_nearest_permutation(case):
    matrix, order = NEAREST[case]
    assert nearest_permutation(torch.tensor(matrix)).tolist() == order


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_none_is_nearest_to_what_is_not_finite(value):
    with pytest.raises(OrthogonalizationError, match="no permutation is nearest"):
        nearest_permutation(torch.tensor([[1.0, 0.0], [0.0, value]]))
    assert not bool(torch.isfinite(scaled(torch.tensor([[1.0, 0.0], [0.0, value]]))).all())
