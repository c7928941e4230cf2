"""The convolution near the identity, and its constant, which multiplies the network's."""

import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import to_plain
from lipnet.certify.sensitivity import Inputs, Sensitivity
from lipnet.layers import PaddedConv2d
from lipnet.layers.blocks.liresnet import IdentityConv2d, liresnet


@pytest.mark.parametrize("padding_mode", ["circular", "zeros"])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
def test_the_formula(kernel_size, padding_mode):
    layer = IdentityConv2d(3, 3, kernel_size, padding_mode=padding_mode, scale=0.5)
    conv = PaddedConv2d(3, 3, kernel_size, padding_mode=padding_mode).copy_from(layer.raw_weight, None)
    inputs = torch.randn(2, 3, 5, 6)
    expected = inputs + 0.5 * conv(inputs) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(inputs), expected)


def test_the_bound_is_of_the_whole_kernel():
    """Not 1 plus the norm of the learned part: where that points the other way, the whole is smaller."""
    layer = IdentityConv2d(2, 2, 1, bias=False, scale=1.0).double()
    with torch.no_grad():
        layer.raw_weight.copy_(-0.5 * torch.eye(2)[:, :, None, None])
    assert lipschitz_bound(layer, (2, 4, 4)) == pytest.approx(0.5)
    network = nn.Sequential(layer, layer)
    assert lipschitz_bound(network, (2, 4, 4)) == pytest.approx(0.25)
    assert lipschitz_bound(to_plain(network), (2, 4, 4)) == pytest.approx(0.25)


def test_it_starts_near_the_identity():
    layer = IdentityConv2d(16, 16, 3, bias=False)
    assert lipschitz_bound(layer, (16, 8, 8)) < 1.2


@pytest.mark.parametrize("padding_mode", ["circular", "zeros"])
def test_divided_by_its_bound_it_is_1_lipschitz_and_the_same_otherwise(padding_mode):
    whole, divided = (
        liresnet(6, 8, depth=4, padding_mode=padding_mode, normalized=normalized)[0].double()
        for normalized in (False, True)
    )
    with torch.no_grad():
        divided.raw_weight.copy_(whole.raw_weight)
    ratio = whole.weight / divided.weight
    assert float(ratio.std().detach()) < 1e-9 * float(ratio.mean().detach())
    bound = lipschitz_bound(divided, (6, 8, 8))
    assert 0.9 < bound <= 1 + 1e-12
    assert lipschitz_bound(whole, (6, 8, 8)) / bound == pytest.approx(float(ratio.mean().detach()))


def test_depth_scales_the_learned_part():
    assert liresnet(4, 8, depth=9)[0].scale == pytest.approx(1 / 3)


def test_its_constant_is_not_taken_for_1():
    network = nn.Sequential(IdentityConv2d(2, 2, 3), nn.Flatten(), nn.ReLU())
    with pytest.raises(TypeError, match="nothing bounds its Lipschitz constant while it trains"):
        Sensitivity(network, Inputs(torch.zeros(2, 4, 4), 1.0), 1.0)
