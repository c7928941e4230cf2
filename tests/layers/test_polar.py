"""The polar factor against the singular value decomposition."""

import pytest
import torch

from lipnet.layers.polar import polar, refined

KINDS = {"real": torch.float64, "complex": torch.complex128}
over_kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@over_kinds
@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (2, 5, 1), (1, 1)])
@pytest.mark.parametrize("size", [1e-20, 1.0, 1e20])
def test_it_is_the_polar_factor(shape, size, kind):
    matrix = torch.randn(shape, dtype=kind)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    torch.testing.assert_close(polar(size * matrix, 50), left @ right, atol=1e-9, rtol=0)


@over_kinds
def test_an_unfinished_one_is_below_one(kind):
    matrix = torch.linalg.svd(torch.randn(6, 4, dtype=kind), full_matrices=False)
    ill = (matrix.U * torch.logspace(0, -6, 4, dtype=torch.float64)) @ matrix.Vh
    for iterations in (1, 3, 10):
        values = torch.linalg.svdvals(polar(ill, iterations))
        assert float(values.max()) <= 1 + 1e-12
        assert float(values.min()) < 0.9


def test_an_orthonormal_matrix_stays_to_the_bit():
    identity = torch.eye(5, 3, dtype=torch.complex64)
    assert torch.equal(polar(identity, 30), identity)


@over_kinds
def test_gradients(kind):
    """The factor does not see the scale: that the bound counts as a constant changes nothing where it has converged."""
    matrix = torch.randn(2, 4, 3, dtype=kind, requires_grad=True)
    assert torch.autograd.gradcheck(lambda matrix: polar(matrix, 40), matrix)


@over_kinds
def test_gradients_where_nothing_is_left_to_do(kind):
    start = torch.eye(4, 3, dtype=kind).requires_grad_()
    assert torch.autograd.gradcheck(lambda matrix: polar(matrix, 40), start)


def test_nothing_of_zero():
    assert polar(torch.zeros(3, 2), 5).abs().max() == 0


@over_kinds
def test_what_rounding_has_lost_is_won_back(kind):
    tall = torch.linalg.qr(torch.randn(6, 4, dtype=kind)).Q + 1e-4 * torch.randn(6, 4, dtype=kind)
    before, after = (float((part.mH @ part - torch.eye(4, dtype=kind)).abs().max()) for part in (tall, refined(tall)))
    assert after < 1e-6 < before
