"""Sandwich layers against their formula, and the proof that a plain one carries along."""

import pytest
import torch

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import to_plain
from lipnet.layers import Sandwich
from lipnet.layers.blocks.sandwich import PlainSandwich


def scaled(inputs, outputs):
    torch.manual_seed(0)
    layer = Sandwich(inputs, outputs).double()
    torch.nn.init.normal_(layer.log_scale)
    return layer


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 3), (3, 5), (4, 4)])
def test_the_formula(inputs, outputs):
    layer, points = scaled(inputs, outputs), torch.randn(6, inputs, dtype=torch.float64)
    first, second = layer.rows.weight[:, :outputs], layer.rows.weight[:, outputs:]
    torch.testing.assert_close(first @ first.T + second @ second.T, torch.eye(outputs, dtype=torch.float64))
    scale = torch.diag(layer.log_scale.exp())
    hidden = torch.relu(points @ (2**0.5 * scale.inverse() @ second).T + layer.bias)
    torch.testing.assert_close(layer(points), hidden @ (2**0.5 * first.T @ scale).T)


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 3), (3, 5)])
def test_the_plain_layer_keeps_its_certificate(inputs, outputs):
    layer, points = scaled(inputs, outputs).eval(), torch.randn(6, inputs, dtype=torch.float64)
    plain = to_plain(layer)
    assert type(plain) is PlainSandwich
    torch.testing.assert_close(plain(points), layer(points))
    for network in (layer, plain, plain.float()):
        assert lipschitz_bound(network, (inputs,)) <= 1 + 1e-6


def test_a_plain_layer_of_any_weights_is_bounded():
    """No region of the ReLUs is steeper, whatever the scales are."""
    torch.manual_seed(1)
    plain = PlainSandwich(3, 4).double().requires_grad_(False)
    for part in (plain.inner, plain.outer):
        torch.nn.init.normal_(part)
    patterns = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 4)
    steepest = max(float(torch.linalg.matrix_norm(plain.outer * part @ plain.inner, ord=2)) for part in patterns)
    assert steepest <= lipschitz_bound(plain, (3,))
    plain.scale.uniform_(0.5, 2)
    assert steepest <= lipschitz_bound(plain, (3,))


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_scales_are_positive(scale):
    plain = PlainSandwich(3, 2)
    plain.scale[1] = scale
    with pytest.raises(TypeError, match="its scales, which prove its constant, are not all positive"):
        lipschitz_bound(plain, (3,))
