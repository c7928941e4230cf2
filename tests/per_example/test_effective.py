"""Gradients of effective weights are pulled back to free parameters by a linear map."""

import pytest
import torch
from example_networks import NETWORKS, built, losses
from torch import nn

from lipnet.layers import OrthogonalLinear
from lipnet.per_example import effective_parameters, per_example_gradients, pull_back


@pytest.mark.parametrize("name", NETWORKS)
def test_the_sum_is_pulled_back_as_its_terms_are(name):
    network, inputs, targets = built(name)
    effective, free = (per_example_gradients(network, losses, inputs, targets, "naive", kind) for kind in (True, False))
    factors = torch.tensor([0.3, -2.0, 1.0], dtype=torch.float64)
    total = {key: torch.einsum("b...,b->...", value, factors) for key, value in effective.items()}
    pulled = pull_back(network, total)
    assert list(pulled) == list(free)
    for key, value in free.items():
        expected = torch.einsum("b...,b->...", value, factors)
        torch.testing.assert_close(pulled[key], expected, rtol=1e-12, atol=1e-12 * float(1 + value.abs().sum()))


def test_names_are_of_effective_weights():
    network, *_ = built("network")
    assert list(effective_parameters(network)) == [
        "0.weight", "0.bias", "2.1.weight", "2.1.bias", "4.values",
        "7.weight", "7.bias", "8.weight", "9.weight", "9.bias",
    ]  # fmt: skip
    assert list(effective_parameters(built("tied")[0])) == ["first.weight", "first.bias", "second.bias"]
    assert list(effective_parameters(built("frozen")[0])) == ["0.weight", "2.bias"]


def test_what_no_gradient_is_given_of_has_zeros():
    network = nn.Sequential(OrthogonalLinear(3, 2), nn.Linear(2, 2))
    pulled = pull_back(network, {"1.bias": torch.ones(2)})
    assert {name: bool(gradient.any()) for name, gradient in pulled.items()} == {
        "0.raw_weight": False, "0.bias": False, "1.weight": False, "1.bias": True,
    }  # fmt: skip


def test_refusals():
    network = nn.Sequential(OrthogonalLinear(3, 2))
    with pytest.raises(ValueError, match=r"0.raw_weight: no effective parameters, which are 0.weight, 0.bias"):
        pull_back(network, {"0.raw_weight": torch.zeros(2, 3)})
    network.append(nn.Linear(3, 2))
    network[1].weight = network[0].raw_weight
    with pytest.raises(ValueError, match=r"1.weight is a free parameter of a constrained layer as well"):
        effective_parameters(network)
