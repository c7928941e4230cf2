import math

import pytest
import torch

from lipnet.layers import ORTHOGONALIZERS, OrthogonalizationError, bjorck, cholesky
from lipnet.layers.orthogonal import Orthogonalizer, _inverse_lower, congruence

SHAPES = [(4, 9), (9, 4), (6, 6), (1, 5), (5, 1), (1, 1), (2, 3, 4, 7), (2, 3, 7, 4), (2, 3, 5, 5)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}

over_maps = pytest.mark.parametrize("orthogonalize", ORTHOGONALIZERS.values(), ids=ORTHOGONALIZERS)
over_shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
over_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float32", "float64"])


def conditioned(shape: tuple[int, ...], condition: float) -> torch.Tensor:
    """A random float64 matrix with singular values from 1 down to ``1 / condition``."""
    left, _, right = torch.linalg.svd(torch.randn(*shape, dtype=torch.float64), full_matrices=False)
    values = torch.logspace(0, -math.log10(condition), min(shape[-2:]), dtype=torch.float64)
    return left * values @ right


def deviation(matrix: torch.Tensor) -> float:
    """The largest distance of a singular value from 1, in float64."""
    return float((torch.linalg.svdvals(matrix.double()) - 1).abs().max())


def qr_oracle(matrix: torch.Tensor) -> torch.Tensor:
    """The orthonormal factor with a positive diagonal of R, by Householder QR."""
    wide = matrix.shape[-2] < matrix.shape[-1]
    orthonormal, triangular = torch.linalg.qr(matrix.mT if wide else matrix)
    signed = orthonormal * triangular.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    return signed.mT if wide else signed


def polar_oracle(matrix: torch.Tensor) -> torch.Tensor:
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ right


@over_maps
@over_shapes
@over_dtypes
def test_orthonormal(orthogonalize, shape, dtype):
    matrix = conditioned(shape, 10).to(dtype)
    result = orthogonalize(matrix)
    assert result.shape == matrix.shape
    assert result.dtype == dtype
    assert deviation(result) <= TOLERANCE[dtype]


@over_maps
@over_shapes
@over_dtypes
def test_leaves_orthonormal_matrices(orthogonalize, shape, dtype):
    """Up to the signs of the diagonal of R, which the QR factor makes positive: hence applied to its own result."""
    once = orthogonalize(conditioned(shape, 10).to(dtype))
    torch.testing.assert_close(orthogonalize(once), once, atol=TOLERANCE[dtype], rtol=0)


@pytest.mark.parametrize(
    ("orthogonalize", "oracle"), [(cholesky, qr_oracle), (bjorck, polar_oracle)], ids=["cholesky", "bjorck"]
)
@over_shapes
def test_is_the_factor_it_claims(orthogonalize, oracle, shape):
    matrix = conditioned(shape, 10)
    torch.testing.assert_close(orthogonalize(matrix), oracle(matrix), atol=1e-10, rtol=0)


@over_maps
def test_a_batch_is_its_matrices(orthogonalize):
    """One ill-conditioned matrix in a batch takes the others along a slower path, to the same result."""
    matrices = torch.stack([conditioned((8, 5), condition) for condition in (1, 30, 200, 1000)])
    alone = torch.stack([orthogonalize(matrix) for matrix in matrices])
    torch.testing.assert_close(orthogonalize(matrices), alone, atol=1e-10, rtol=0)


@over_maps
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (2, 3, 4), (2, 2, 4, 3)], ids=str)
def test_gradient(orthogonalize, shape):
    """Björck's scale counts as a constant, which the converged result no longer depends on."""
    matrix = conditioned(shape, 2).requires_grad_()
    assert torch.autograd.gradcheck(orthogonalize, matrix)


@pytest.mark.parametrize("shape", [(20, 12), (12, 20), (16, 16), (3, 30, 16), (128, 64)], ids=str)
@pytest.mark.parametrize("condition", [1, 10, 1e2, 1e3, 1e4, 1e5])
def test_cholesky_accuracy_in_float32(shape, condition):
    assert deviation(cholesky(conditioned(shape, condition).float())) <= 1e-5


@pytest.mark.parametrize("shape", [(20, 12), (12, 20), (16, 16), (3, 30, 16)], ids=str)
@pytest.mark.parametrize("condition", [1, 10, 1e2, 1e3, 1e4, 1e5])
def test_cholesky_gradient_in_float32(shape, condition):
    """Against autograd through QR in float64; both map and gradient are as sensitive as the condition number says."""
    matrix = conditioned(shape, condition).float()
    cotangent = torch.randn(shape)
    single, double = matrix.clone().requires_grad_(), matrix.double().requires_grad_()
    (cholesky(single) * cotangent).sum().backward()
    (qr_oracle(double) * cotangent.double()).sum().backward()
    error = float((single.grad.double() - double.grad).norm() / double.grad.norm())
    assert error <= 10 * condition * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("shape", [(20, 12), (12, 20), (2, 30, 20)], ids=str)
@pytest.mark.parametrize("condition", [1, 1e2, 1e3, 1e4, 1e5])
@pytest.mark.parametrize("scale", [1e-20, 1e-12, 1e-8, 1e-6, 1e-4, 1e-2, 1e2, 1e4, 1e6, 1e8, 1e12, 1e20])
def test_cholesky_at_any_scale(scale, condition, shape):
    """In float32, where the Gram matrix of the extremes under- or overflows."""
    assert deviation(cholesky((scale * conditioned(shape, condition)).float())) <= 1e-5


def test_cholesky_of_a_batch_of_mixed_scales():
    scales = torch.tensor([1e-20, 1e-12, 1e-6, 1.0, 1e6, 1e12, 1e20], dtype=torch.float64)
    for condition in (1, 1e2, 1e4):
        matrices = (scales[:, None, None] * conditioned((len(scales), 12, 8), condition)).float()
        for first in range(len(scales) - 1):
            assert deviation(cholesky(matrices[first : first + 2])) <= 1e-5
        assert deviation(cholesky(matrices)) <= 1e-5


@over_dtypes
@pytest.mark.parametrize("shape", [(12, 8), (8, 12), (2, 6, 6)], ids=str)
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-4, 1e4, 1e8, 1e10, 1e20, 1e30])
def test_bjorck_at_any_scale(scale, shape, dtype):
    assert deviation(bjorck((scale * conditioned(shape, 3)).to(dtype))) <= TOLERANCE[dtype]


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (64, 64)], ids=str)
def test_published_bjorck_converges_in_twenty_iterations(shape):
    matrix = conditioned(shape, 20)
    assert deviation(bjorck(matrix, iterations=20)) <= 1e-10
    assert deviation(bjorck(matrix, iterations=5)) > 1e-2


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
def test_unfinished_bjorck_is_never_above_one(iterations):
    for seed in range(20):
        torch.manual_seed(seed)
        values = torch.linalg.svdvals(bjorck(torch.randn(3, 16, 12, dtype=torch.float64), iterations))
        assert float(values.max()) <= 1 + 1e-12


def with_entry(value: float) -> torch.Tensor:
    matrix = torch.randn(5, 3)
    matrix[1, 2] = value
    return matrix


def with_zero_column() -> torch.Tensor:
    matrix = torch.randn(5, 3)
    matrix[:, 1] = 0
    return matrix


def with_equal_columns() -> torch.Tensor:
    matrix = torch.randn(5, 3)
    matrix[:, 1] = matrix[:, 0]
    return matrix


NOT_FINITE = "holds NaN or infinity"
REFUSALS = [
    ("cholesky_zero_column", cholesky, with_zero_column, "is rank-deficient"),
    ("cholesky_zero_row", cholesky, lambda: with_zero_column().mT, "is rank-deficient"),
    ("cholesky_equal_columns", cholesky, with_equal_columns, "is rank-deficient"),
    ("cholesky_zero", cholesky, lambda: torch.zeros(5, 3), "is rank-deficient"),
    ("cholesky_zero_in_a_batch", cholesky, lambda: torch.stack((torch.randn(5, 3), torch.zeros(5, 3))), "rank"),
    ("cholesky_nan", cholesky, lambda: with_entry(math.nan), NOT_FINITE),
    ("cholesky_inf", cholesky, lambda: with_entry(math.inf), NOT_FINITE),
    ("cholesky_minus_inf", cholesky, lambda: with_entry(-math.inf), NOT_FINITE),
    ("bjorck_zero", bjorck, lambda: torch.zeros(5, 3), "is zero or holds NaN or infinity"),
    ("bjorck_zero_in_a_batch", bjorck, lambda: torch.stack((torch.randn(5, 3), torch.zeros(5, 3))), "is zero"),
    ("bjorck_nan", bjorck, lambda: with_entry(math.nan), NOT_FINITE),
    ("bjorck_inf", bjorck, lambda: with_entry(math.inf), NOT_FINITE),
    ("bjorck_minus_inf", bjorck, lambda: with_entry(-math.inf), NOT_FINITE),
]


@over_dtypes
@pytest.mark.parametrize(("orthogonalize", "make", "reason"), [pytest.param(*r[1:], id=r[0]) for r in REFUSALS])
def test_refuses(orthogonalize: Orthogonalizer, make, reason, dtype):
    message = rf"cannot orthonormalise a \(.*\) matrix that .*{reason}.*; a smaller optimizer.lr, or another seed"
    with pytest.raises(OrthogonalizationError, match=message):
        orthogonalize(make().to(dtype))


def test_bjorck_keeps_a_zero_column_at_zero():
    """A polar factor has no say there: the result is finite and its norm is still 1, though it is not orthonormal."""
    values = torch.linalg.svdvals(bjorck(with_zero_column().double()))
    torch.testing.assert_close(values, torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64), atol=1e-10, rtol=0)


@over_maps
def test_deterministic(orthogonalize):
    matrix = torch.randn(3, 9, 6)
    first = orthogonalize(matrix)
    torch.manual_seed(123)
    assert torch.equal(orthogonalize(matrix), first)


@over_maps
def test_leaves_its_argument_and_the_random_state(orthogonalize):
    matrix = torch.randn(7, 4)
    before, state = matrix.clone(), torch.get_rng_state()
    orthogonalize(matrix)
    assert torch.equal(matrix, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [512, 513, 1030, 2049])
def test_products_in_halves(size):
    """Above 512 columns, products with triangular matrices are done block by block."""
    lower = torch.linalg.cholesky(torch.randn(size, size, dtype=torch.float64).cov() + torch.eye(size))
    symmetric = torch.randn(size, size, dtype=torch.float64)
    symmetric += symmetric.mT.clone()
    torch.testing.assert_close(_inverse_lower(lower), torch.linalg.inv(lower).tril())
    torch.testing.assert_close(congruence(symmetric, lower), lower.mT @ symmetric @ lower)


@pytest.mark.parametrize("shape", [(1, 700, 600), (650, 650)], ids=str)
def test_large_matrices_in_float32(shape):
    matrix = torch.randn(shape, requires_grad=True)
    direction = torch.randn(shape)
    weight = cholesky(matrix)
    assert deviation(weight.detach()) < 1e-5
    exact = matrix.detach().double().requires_grad_()
    (gradient,) = torch.autograd.grad(weight, matrix, direction)
    (expected,) = torch.autograd.grad(cholesky(exact), exact, direction.double())
    torch.testing.assert_close(gradient.double(), expected, rtol=0, atol=1e-3 * expected.abs().max().item())


@pytest.mark.parametrize("shape", [(200, 160), (2, 150, 400), (256, 256)], ids=str)
@pytest.mark.parametrize("condition", [1, 3, 30, 1e3, 1e5])
def test_large_matrices_are_checked_by_some_directions(shape, condition):
    """Above 128 columns the distance from orthogonality is only estimated; that must not let inaccurate passes pass."""
    matrix = conditioned(shape, condition).float()
    assert deviation(cholesky(matrix)) <= 5e-6
    torch.testing.assert_close(cholesky(matrix).double(), qr_oracle(matrix.double()), atol=1e-6 * condition, rtol=0)


@pytest.mark.parametrize("size", [20, 100, 300, 1000])
@pytest.mark.parametrize("smallest", [0.3, 0.1, 0.03, 0.01, 1e-3])
def test_one_short_direction_among_many_is_made_orthogonal(size, smallest):
    """All of the error is then in one singular value, where the Frobenius norm tells least."""
    left, _, right = torch.linalg.svd(torch.randn(size, size, dtype=torch.float64))
    values = torch.ones(size, dtype=torch.float64)
    values[-1] = smallest
    assert deviation(cholesky((left * values @ right).float())) <= 1e-5
