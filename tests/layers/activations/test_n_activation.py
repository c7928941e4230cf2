"""N-activations against their definition, piece by piece."""

import pytest
import torch

from lipnet.layers import NActivation


@pytest.mark.parametrize("bends", [(-1.0, 0.5), (0.5, -1.0), (0.25, 0.25)])
def test_pieces(bends):
    layer = NActivation(1)
    with torch.no_grad():
        layer.bends.copy_(torch.tensor(bends)[:, None])
    lower, upper = sorted(bends)
    inputs = torch.linspace(-3, 3, 49)
    expected = torch.where(inputs < lower, inputs - 2 * lower, torch.where(inputs > upper, inputs - 2 * upper, -inputs))
    torch.testing.assert_close(layer(inputs[:, None])[:, 0], expected)


def test_it_starts_as_absolute_values_and_near_the_identity():
    layer, inputs = NActivation(5), torch.rand(20, 5) * 2 - 1
    assert torch.equal(layer(inputs)[:, :2], inputs[:, :2].abs())
    far = inputs[:, 2:].abs() > 0.125
    assert bool(((layer(inputs) - inputs)[:, 2:][far].abs() == 0.25).all())


def test_bends_are_parameters_from_the_beginning():
    layer = NActivation(4)
    assert [tuple(part.shape) for part in layer.parameters()] == [(2, 4)]
    layer(torch.randn(9, 4)).square().sum().backward()
    assert layer.bends.grad is not None


@pytest.mark.parametrize("channels", [1, 3])
def test_inputs_of_other_channels_are_refused(channels):
    with pytest.raises(RuntimeError, match="unflatten"):
        NActivation(2)(torch.randn(3, channels))
