"""Layers that take their sums in blocks are their plain parents in another order of addition."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from lipnet.layers import BlockedConv2d, BlockedLinear, PaddedConv2d

CONVOLUTIONS = {
    "circular": {},
    "zeros": {"padding_mode": "zeros"},
    "stride": {"kernel_size": 4, "stride": 2},
    "dilation": {"dilation": 2},
    "no bias": {"bias": False},
    "a last block of fewer": {"block": 4},
    "one block": {"block": 100},
    "blocks of one": {"block": 1},
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("leading", [(), (0,), (5,), (2, 3)])
@pytest.mark.parametrize(("inputs", "block"), [(64, 16), (70, 16), (5, 16), (7, 1)])
def test_linear_layer_in_blocks_is_the_linear_layer(inputs, block, leading, bias):
    blocked, plain = BlockedLinear(inputs, 9, bias, block), nn.Linear(inputs, 9, bias)
    plain.load_state_dict(blocked.state_dict())
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 0)):
        points = torch.randn(*leading, inputs, dtype=dtype)
        expected = plain.to(dtype)(points)
        torch.testing.assert_close(blocked.to(dtype)(points), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution_in_blocks_is_the_convolution(options):
    options = {"kernel_size": 3, "block": 5, **options}
    blocked = BlockedConv2d(10, 6, **options)
    plain = PaddedConv2d(10, 6, **{key: value for key, value in options.items() if key != "block"})
    plain.load_state_dict(blocked.state_dict())
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 0)):
        images = torch.randn(2, 10, 8, 6, dtype=dtype)
        torch.testing.assert_close(blocked.to(dtype)(images), plain.to(dtype)(images), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("layer", "shape"), [(BlockedLinear(40, 3, block=16), (40,)), (BlockedConv2d(6, 3, 3, block=4), (6, 5, 5))]
)
def test_gradients_are_those_of_float64(layer, shape):
    double, points = copy.deepcopy(layer).double(), torch.randn(4, *shape)
    for network in (layer, double):
        network(points.to(next(network.parameters()).dtype)).square().sum().backward()
    for found, expected in zip(layer.parameters(), double.parameters(), strict=True):
        torch.testing.assert_close(found.grad.double(), expected.grad, rtol=1e-4, atol=1e-4)


def test_partial_sums_are_added_afterwards():
    """2^24 swallows every 1 that is added to it, but not the sum of another block's."""
    blocked = BlockedLinear(64, 1, bias=False, block=32).requires_grad_(False)
    blocked.weight.fill_(1.0)
    points = torch.ones(1, 64)
    points[0, 0] = 2.0**24
    points[0, 1:32] = 0.0
    assert float(blocked(points)) == 2.0**24 + 32
    image, conv = torch.ones(1, 2, 1, 1), BlockedConv2d(2, 1, 1, bias=False, block=1).requires_grad_(False)
    conv.conv.weight.copy_(torch.tensor([[[[2.0**24]], [[32.0]]]]))
    assert float(conv(image)) == 2.0**24 + 32


def test_roundings_are_counted():
    single, double = torch.float32, torch.float64
    assert BlockedLinear(4096, 1, block=64).stages(single) == (64, 64)
    assert BlockedLinear(4097, 1, block=64).stages(single) == (64, 65)
    assert BlockedLinear(4096, 1, block=64).stages(double) == (4096, 0)  # taken as a whole
    assert BlockedLinear(10, 1, block=64).stages(single) == (10, 1)
    assert BlockedConv2d(64, 1, 4, block=8).stages(single) == (8 * 16, 8)
    assert BlockedConv2d(64, 1, 4, block=8).stages(double) == (64 * 16, 0)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: BlockedLinear(70, 5, block=32), (3, 70)),
        (lambda: BlockedLinear(70, 5, block=32), (3, 2, 70)),
        (lambda: BlockedConv2d(7, 4, 3, stride=2, block=3, padding_mode="zeros"), (3, 7, 6, 6)),
        (lambda: BlockedConv2d(7, 4, 3, block=3), (3, 7, 6, 6)),
    ],
)
def test_partial_sums_are_of_the_blocks(layer, shape):
    """All of them make the layer without its bias, and the first one sees the first block of inputs alone."""
    layer, inputs = layer().double().requires_grad_(False), torch.randn(shape, dtype=torch.float64)
    parts = list(layer.partial_sums(inputs, layer.weight))
    assert len(parts) == 3
    layer.bias.zero_()
    torch.testing.assert_close(sum(parts), layer(inputs), rtol=0, atol=1e-12)
    channels = inputs.dim() - 1 if isinstance(layer, BlockedLinear) else 1
    inputs.narrow(channels, layer.block, shape[channels] - layer.block).zero_()
    torch.testing.assert_close(parts[0], layer(inputs), rtol=0, atol=1e-12)


def test_empty_blocks_are_refused():
    for make in (lambda: BlockedLinear(3, 2, block=0), lambda: BlockedConv2d(3, 2, 3, block=0)):
        with pytest.raises(ValueError, match="a block holds at least one input, got 0"):
            make()


def test_it_is_a_linear_layer_to_users():
    layer = BlockedLinear(100, 7)
    assert isinstance(layer, nn.Linear)
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert str(layer) == "BlockedLinear(in_features=100, out_features=7, bias=True, block=64)"
    points = torch.randn(3, 100)
    torch.testing.assert_close(layer(points), functional.linear(points, layer.weight, layer.bias))
