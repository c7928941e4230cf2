"""RKO against its definition: a reshaped kernel of orthonormal rows or columns, divided."""

import pytest
import torch

from lipnet.layers import RKOConv2d


@pytest.mark.parametrize(("kernel_size", "stride"), [(1, 1), (3, 1), (4, 2), (2, 2), (6, 2)])
def test_rko_is_an_orthonormal_matrix_divided(kernel_size, stride):
    layer = RKOConv2d(3, 5, kernel_size, stride)
    matrix = layer.weight.detach().flatten(1).double() * (kernel_size // stride)
    torch.testing.assert_close(torch.linalg.svdvals(matrix), torch.ones(min(matrix.shape), dtype=torch.float64))


def test_rko_groups_are_separate():
    layer = RKOConv2d(4, 6, 3, groups=2)
    for kernel in layer.weight.detach().double().chunk(2):
        matrix = kernel.flatten(1) * 3
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)
