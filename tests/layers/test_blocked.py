"""``BlockedLinear`` against ``nn.Linear``: the same function, with less rounding."""

import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.rounding import rounding_step
from lipnet.layers import BlockedLinear


def pair(inputs, outputs=5, bias=True):
    blocked, linear = BlockedLinear(inputs, outputs, bias), nn.Linear(inputs, outputs, bias)
    linear.load_state_dict(blocked.state_dict())
    return blocked.requires_grad_(False), linear.requires_grad_(False)


@pytest.mark.parametrize(("width", "block"), [(4096, 128), (1024, 128), (784, 98), (97, 97), (10, 10), (1009, 1009)])
def test_sums_are_taken_in_blocks(width, block):
    assert BlockedLinear(width, 2).block == block


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(784,), (3, 784), (0, 784), (2, 3, 784), (4, 10)])
def test_it_is_the_same_function(shape, bias):
    blocked, linear = pair(shape[-1], bias=bias)
    inputs = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(blocked.double()(inputs), linear.double()(inputs), rtol=0, atol=1e-12)
    assert lipschitz_bound(blocked, shape[-1:]) == lipschitz_bound(linear, shape[-1:])


def test_it_rounds_less_and_within_its_bound():
    blocked, linear = pair(4096, 64)
    inputs = torch.rand(200, 4096)
    exact, step = linear.double()(inputs.double()), rounding_step(blocked, (4096,), torch.finfo(torch.float32))
    error = (blocked(inputs).double() - exact).norm(dim=1)
    assert bool((error <= step.relative * inputs.double().norm(dim=1) + step.absolute).all())
    assert step.relative < rounding_step(linear.float(), (4096,), torch.finfo(torch.float32)).relative / 20
