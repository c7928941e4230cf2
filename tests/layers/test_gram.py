"""The bound of Gram iteration against singular values."""

import pytest
import torch

from lipnet.layers.gram import gram_bound


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", [(3, 4, 7), (7, 4), (1, 1), (2, 5, 6, 6)])
@pytest.mark.parametrize("steps", [1, 3, 6])
def test_it_is_above_the_norm_and_near_it(shape, dtype, steps):
    torch.manual_seed(0)
    matrices = 1e5 * torch.randn(shape, dtype=dtype)
    norm, bound = float(torch.linalg.matrix_norm(matrices, ord=2).max()), float(gram_bound(matrices, steps))
    assert norm * (1 - 1e-12) <= bound <= norm * min(shape[-2:]) ** (0.5 ** (steps + 2)) * (1 + 1e-9)


def test_zeros():
    assert float(gram_bound(torch.zeros(3, 3), 4)) < 1e-15


def test_its_gradient():
    matrices = torch.randn(3, 2, 4, dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(lambda part: gram_bound(part, 3), matrices)
