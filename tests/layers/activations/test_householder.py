"""Householder activations against their definition: one side of a line is kept, the other one reflected."""

import pytest
import torch

from lipnet.layers import Householder, MaxMin


def test_it_starts_as_maxmin():
    inputs = torch.randn(5, 6, 3)
    torch.testing.assert_close(Householder(6)(inputs), MaxMin()(inputs))


def test_one_side_is_kept_and_the_other_reflected():
    layer, inputs = Householder(8).double(), torch.randn(50, 8, dtype=torch.float64)
    torch.nn.init.uniform_(layer.angles, -7, 7)
    first, second = inputs.chunk(2, dim=1)
    angles = layer.angles
    kept = first * (angles / 2).sin() >= second * (angles / 2).cos()
    reflected = first * angles.cos() + second * angles.sin(), first * angles.sin() - second * angles.cos()
    pairs = zip((first, second), reflected, strict=True)
    expected = torch.cat([torch.where(kept, own, other) for own, other in pairs], dim=1)
    torch.testing.assert_close(layer(inputs), expected)
    torch.testing.assert_close(layer(inputs).norm(dim=1), inputs.norm(dim=1))  # not divided by anything


def test_angles_are_learned_from_the_gradient():
    layer, inputs = Householder(4).double(), torch.randn(3, 4, dtype=torch.float64)

    def of_angles(angles):
        return torch.func.functional_call(layer, {"angles": angles}, inputs)

    assert torch.autograd.gradcheck(of_angles, torch.tensor([0.3, 2.0], dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("channels", [0, 3])
def test_channels_come_in_pairs(channels):
    with pytest.raises(ValueError, match=f"Householder needs an even number of channels, got {channels}"):
        Householder(channels)


def test_inputs_of_other_channels_are_refused():
    with pytest.raises(RuntimeError, match="unflatten"):
        Householder(2)(torch.randn(3, 4))
