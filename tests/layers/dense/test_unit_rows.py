import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import to_plain
from lipnet.layers import UnitRowLinear


def test_rows_have_norm_1_whatever_the_raw_ones_are():
    layer = UnitRowLinear(7, 4)
    with torch.no_grad():
        layer.raw_weight.copy_(torch.tensor([1e-3, 1.0, 50.0, 1e4])[:, None] * torch.randn(4, 7))
    expected = layer.raw_weight / layer.raw_weight.norm(dim=1, keepdim=True)
    torch.testing.assert_close(layer.weight, expected)


def test_a_row_of_zeros_stays_one():
    layer = UnitRowLinear(3, 2)
    nn.init.zeros_(layer.raw_weight)
    assert torch.equal(layer.weight, torch.zeros(2, 3))


def test_the_bound_is_the_spectral_norm():
    layer = UnitRowLinear(6, 5)
    with torch.no_grad():
        layer.raw_weight.copy_(torch.randn(6).expand(5, 6))
    assert lipschitz_bound(layer, (6,)) == pytest.approx(5**0.5, rel=1e-6)  # all rows alike


def test_gradients_are_those_of_the_division():
    layer = UnitRowLinear(5, 3).double()
    inputs = torch.randn(4, 5, dtype=torch.float64)
    layer(inputs).square().sum().backward()
    raw = layer.raw_weight.detach().clone().requires_grad_()
    (inputs @ (raw / raw.norm(dim=1, keepdim=True)).mT + layer.bias.detach()).square().sum().backward()
    torch.testing.assert_close(layer.raw_weight.grad, raw.grad)


def test_the_plain_layer_is_the_same_function():
    layer, inputs = UnitRowLinear(5, 3), torch.randn(4, 5)
    plain = to_plain(layer)
    assert type(plain) is nn.Linear
    torch.testing.assert_close(plain(inputs), layer(inputs))
    assert type(to_plain(UnitRowLinear(5, 3, bias=False))) is nn.Linear


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0)])
def test_sizes_are_positive(sizes):
    with pytest.raises(ValueError, match=r"UnitRowLinear needs (in|out)_features to be a whole number >= 1, got 0"):
        UnitRowLinear(*sizes)
