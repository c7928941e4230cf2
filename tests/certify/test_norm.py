import math
from fractions import Fraction

import pytest
import torch

from lipnet.certify import norm
from lipnet.certify.norm import nonnegative_norm_bound, norm_bound


def matrices():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(30, 20, generator=generator, dtype=torch.float64)
    return {
        "drawn": drawn,
        "orthonormal": torch.linalg.qr(drawn).Q,
        "rank one": drawn[:, :1] @ drawn[:1],
        "ill-conditioned": drawn * 10.0 ** -torch.arange(20),
        "batch": drawn.view(5, 6, 20),
        "complex": torch.complex(drawn[:15], drawn[15:]),
        "one entry": drawn[:1, :1],
        "large, nearly orthonormal": torch.linalg.qr(torch.randn(300, 256, generator=generator).double()).Q + 1e-7,
    }


@pytest.mark.parametrize("name", matrices())
def test_the_bound_is_above_the_norm_and_tight(name):
    matrix = matrices()[name]
    true = float(torch.linalg.matrix_norm(matrix, ord=2).max())
    assert true * (1 - 1e-15) <= norm_bound(matrix) <= true * (1 + 1e-6 if "large" in name else 1 + 1e-10)


@pytest.mark.parametrize("rows", range(1, 6))
def test_the_bound_holds_in_exact_arithmetic(rows):
    """A matrix of one's own: ``v vᵀ`` has the norm ``|v|²``, a rational number."""
    for seed in range(20):
        vector = torch.randint(-1000, 1000, (rows,), generator=torch.Generator().manual_seed(seed)).double()
        exact = sum(Fraction(entry) ** 2 for entry in vector.tolist())
        assert Fraction(norm_bound(vector[:, None] @ vector[None])) >= exact


def test_an_eigenvalue_solver_that_is_wrong_is_found_out(monkeypatch):
    matrix = matrices()["drawn"]
    true, solve = float(torch.linalg.matrix_norm(matrix, ord=2)), torch.linalg.eigvalsh
    for error in (0.5, 1e-3, 1e-8):
        monkeypatch.setattr(norm.torch.linalg, "eigvalsh", lambda gram, error=error: (1 - error) * solve(gram))
        assert norm_bound(matrix) >= true


def test_the_error_is_added():
    matrix = matrices()["drawn"]
    assert norm_bound(matrix, 0.25) == pytest.approx(norm_bound(matrix) + 0.25)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_entries_that_are_not_finite_have_no_bound(bad):
    matrix = matrices()["drawn"]
    matrix[3, 4] = bad
    assert norm_bound(matrix) == math.inf


@pytest.mark.parametrize("name", ["drawn", "batch", "one entry", "ill-conditioned", "rank one"])
def test_norm_of_nonnegative_matrices(name):
    matrix = matrices()[name].abs()
    true = float(torch.linalg.matrix_norm(matrix, ord=2).max())
    assert true * (1 - 1e-15) <= nonnegative_norm_bound(matrix) <= 1.01 * true


def test_norm_of_sparse_nonnegative_matrices():
    matrix = torch.zeros(6, 4, dtype=torch.float64)
    assert nonnegative_norm_bound(matrix) == 0
    matrix[0, 0], matrix[1, 2] = 3.0, 1e-3
    assert 3 <= nonnegative_norm_bound(matrix) <= 3.001
