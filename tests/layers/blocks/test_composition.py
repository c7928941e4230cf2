import pytest
import torch
from torch import nn

from lipnet import to_plain
from lipnet.layers import BCOPConv2d, Concat, OrthogonalLinear, Residual, Scale


def test_residual_adds():
    inputs = torch.randn(2, 3)
    assert torch.equal(Residual(Scale(2.0))(inputs), inputs + 2 * inputs)
    assert torch.equal(Residual(Scale(2.0), Scale(-1.0))(inputs), -inputs + 2 * inputs)


def test_residual_does_not_broadcast():
    with pytest.raises(ValueError, match=r"one shape, got \(2, 3\) and \(2, 1\)"):
        Residual(nn.Linear(3, 1))(torch.randn(2, 3))


def test_concat_stacks_channels():
    inputs = torch.randn(2, 3, 4)
    assert torch.equal(Concat(nn.Identity(), Scale(2.0))(inputs), torch.cat((inputs, 2 * inputs), 1))
    with pytest.raises(ValueError, match="at least one branch"):
        Concat()


def test_constrained_layers_inside_become_plain():
    network = nn.Sequential(
        Residual(BCOPConv2d(2, 2, 3)), Concat(nn.Flatten(), nn.Sequential(nn.Flatten(), OrthogonalLinear(32, 3)))
    ).eval()
    plain, images = to_plain(network), torch.randn(2, 2, 4, 4)
    torch.testing.assert_close(plain(images), network(images))
    kinds = {type(module) for module in plain.modules()}
    assert not kinds & {BCOPConv2d, OrthogonalLinear}
    assert {nn.Conv2d, nn.Linear} <= kinds
