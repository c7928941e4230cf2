"""L2NE against its definition: a reshaped kernel divided by a bound on its norm."""

import pytest
import torch

from lipnet.layers import L2NEConv2d


@pytest.mark.parametrize(("kernel_size", "stride"), [(1, 1), (3, 1), (4, 2)])
def test_l2ne_is_divided_by_the_bound(kernel_size, stride):
    layer = L2NEConv2d(3, 5, kernel_size, stride)
    raw, weight = layer.raw_matrix.detach()[0].double(), layer.weight.detach().flatten(1).double()
    bound = min(torch.linalg.matrix_norm(gram, ord=torch.inf) for gram in (raw @ raw.T, raw.T @ raw)).sqrt()
    assert float(torch.linalg.matrix_norm(raw, ord=2)) <= float(bound)
    torch.testing.assert_close(weight, raw / bound / (kernel_size // stride), rtol=1e-5, atol=1e-7)


def test_l2ne_gradient():
    layer = L2NEConv2d(2, 3, 2).double()
    raw = layer.raw_matrix.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(layer.build_weight, raw)


def test_l2ne_of_zero_is_zero():
    layer = L2NEConv2d(2, 3, 2)
    with torch.no_grad():
        layer.raw_matrix.zero_()
    assert not layer.weight.any()
