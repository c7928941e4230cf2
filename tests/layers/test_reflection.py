"""Block reflectors against their definition."""

import math

import pytest
import torch

from lipnet.layers.reflection import rank, reflecting, reflection, start_as_signs

KINDS = {"real": torch.float64, "complex": torch.complex128}
over_kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@over_kinds
@pytest.mark.parametrize("shape", [(6, 3), (5, 2), (1, 1), (2, 4, 4)])
def test_it_turns_the_sign_of_what_the_columns_span(shape, kind):
    columns = torch.randn(shape, dtype=kind)
    found, identity = reflection(columns), torch.eye(shape[-2], dtype=kind)
    torch.testing.assert_close(found @ columns, -columns)
    torch.testing.assert_close(found, found.mH)
    torch.testing.assert_close(found @ found, identity.expand_as(found))
    assert float(torch.linalg.eigvalsh(found).sum(-1).mean()) == pytest.approx(shape[-2] - 2 * shape[-1])
    expected = identity - 2 * columns @ torch.linalg.inv(columns.mH @ columns) @ columns.mH
    torch.testing.assert_close(found, expected)


@over_kinds
def test_gradients(kind):
    assert torch.autograd.gradcheck(reflection, torch.randn(2, 4, 2, dtype=kind, requires_grad=True))


def test_nearly_dependent_columns_reflect_too():
    columns = torch.randn(8, 4)
    columns[:, 1] = columns[:, 0] + 1e-5 * columns[:, 1]
    found = reflection(reflecting(1e-30 * columns)).double()
    torch.testing.assert_close(found @ found, torch.eye(8, dtype=torch.float64), atol=1e-5, rtol=0)


def test_it_starts_as_signs():
    columns = torch.empty(32, rank(32, 0.5))
    start_as_signs(columns)
    signs = torch.tensor([-1.0] * 16 + [1.0] * 16).diag()
    torch.testing.assert_close(reflection(columns), signs, atol=0.1, rtol=0)


@pytest.mark.parametrize(
    ("size", "share", "columns"),
    [(1, 0.5, 1), (2, 0.5, 1), (3, 0.5, 1), (3, 0.99, 2), (8, 0.125, 1), (64, 0.125, 8), (64, 0.999, 63), (9, 1e-9, 1)],
)
def test_rank_of_a_share(size, share, columns):
    assert rank(size, share) == columns


@pytest.mark.parametrize("share", [0, 1, -0.5, math.nan])
def test_shares_that_are_none(share):
    with pytest.raises(ValueError, match="share of reflected directions"):
        rank(8, share)
