"""Cayley's map against its definition, and what it cannot lose."""

import pytest
import torch

from lipnet.layers.cayley import at_norm, cayley

KINDS = {"real": torch.float64, "complex": torch.complex128}
over_kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def residual(matrix):
    tall = matrix if matrix.shape[-2] >= matrix.shape[-1] else matrix.mH
    return float((tall.mH @ tall - torch.eye(tall.shape[-1], dtype=matrix.dtype)).abs().max())


@over_kinds
@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (2, 5, 1), (1, 1)])
@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 1e3])
def test_orthonormal_whatever_the_matrix(shape, size, kind):
    assert residual(cayley(size * torch.randn(shape, dtype=kind))) < 1e-12


@over_kinds
def test_it_is_the_formula(kind):
    matrix = torch.randn(5, 3, dtype=kind)
    upper, lower = matrix[:3], matrix[3:]
    skew, identity = upper - upper.mH + lower.mH @ lower, torch.eye(3, dtype=kind)
    inverse = torch.linalg.inv(identity + skew)
    expected = torch.cat((inverse @ (identity - skew), -2 * lower @ inverse))
    torch.testing.assert_close(cayley(matrix), expected)
    torch.testing.assert_close(cayley(matrix.mH.contiguous()), expected.mH)


@over_kinds
def test_gradients(kind):
    assert torch.autograd.gradcheck(cayley, torch.randn(2, 4, 3, dtype=kind, requires_grad=True))


def test_what_the_inverse_loses_is_won_back():
    """Single precision, and matrices as large as training may make them."""
    assert residual(cayley(100 * torch.randn(8, 8))) < 1e-5


def test_a_free_tensor_at_a_norm():
    raw = 1e-30 * torch.randn(2, 3, 3)
    torch.testing.assert_close(at_norm(raw, torch.tensor(2.0)).norm(), torch.tensor(2.0))
    assert at_norm(torch.zeros(2, 3), torch.tensor(2.0)).abs().max() == 0
