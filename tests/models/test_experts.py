import dataclasses

import pytest
import torch
from torch import nn

from lipnet.errors import UserError
from lipnet.layers import MaxMin
from lipnet.layers.orthogonal import cholesky
from lipnet.models.experts import Experts, Weights, experts

MEMORIES, BUDGETS = [1, 3], [0.5, 2.0, 8.0]


def bank(orthogonalize=cholesky, dimension=1, hidden=(6, 8), make=lambda width: MaxMin()):
    return Experts(MEMORIES, BUDGETS, hidden, dimension, orthogonalize, make)


def one_by_one(model, contexts):
    """Each expert as a network of its own, on its own memory."""
    outputs = []
    for number, (expert, factor) in enumerate(zip(model.list, model.factors, strict=True)):
        first = model.first[MEMORIES.index(expert.memory)]
        place = number % len(BUDGETS)
        values = contexts[:, -expert.memory :].flatten(1) @ first.weight[place].T + first.bias[place]
        for activate, layer in zip(model.activations, model.rest, strict=True):
            values = activate(values) @ layer.weight[number].T + layer.bias[number]
        outputs.append(factor * values)
    return torch.stack(outputs)


@pytest.mark.parametrize("orthogonalize", [cholesky, None])
@pytest.mark.parametrize("dimension", [1, 2])
def test_a_bank_is_its_networks(orthogonalize, dimension):
    model = bank(orthogonalize, dimension)
    contexts = torch.randn(5, 3, dimension, dtype=torch.float64)
    together = model(contexts, model.weights())
    assert together.shape == (6, 5, dimension)
    torch.testing.assert_close(together, one_by_one(model, contexts))
    torch.testing.assert_close(together, model(contexts.expand(6, *contexts.shape), model.weights()))
    assert [(expert.memory, expert.budget) for expert in model.list] == [
        (memory, budget) for memory in MEMORIES for budget in BUDGETS
    ]


def test_the_networks_start_apart():
    first, second = bank().weights().first[0][0][:2]
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("orthogonalize", [cholesky, None])
def test_the_bounds_hold(orthogonalize, dimension):
    """Orthogonal networks have their budget as a bound, and pairs of points come near to it; no pair exceeds it."""
    model = bank(orthogonalize, dimension)
    weights = model.requires_grad_(False).weights()
    bounds = model.bounds(weights)
    if orthogonalize is not None:
        torch.testing.assert_close(bounds.lipschitz, torch.tensor(2 * BUDGETS).double(), rtol=1e-12, atol=0)
    x = torch.randn(2000, 3, dimension, dtype=torch.float64)
    y = x + 1e-3 * torch.randn_like(x)
    change = (model(x, weights) - model(y, weights)).norm(dim=2) / (x - y).flatten(1).norm(dim=1)
    assert bool((change.amax(1) <= bounds.lipschitz).all())
    assert float((change.amax(1) / bounds.lipschitz).max()) > 0.3


def test_the_rounding_is_counted():
    """A pass in float32 against one in float64 with the same weights: the allowance scales with eps."""
    model = bank().float()
    weights = model.requires_grad_(False).weights()
    contexts = torch.randn(500, 3, 1)
    low = model(contexts, weights).double()
    exact = Weights(*([(weight.double(), bias.double()) for weight, bias in layers] for layers in weights))
    model = model.double()
    bounds, difference = model.bounds(exact), low - model(contexts.double(), exact)
    ratio = torch.finfo(torch.float32).eps / torch.finfo(torch.float64).eps
    sizes = contexts.double().flatten(1).norm(dim=1)
    allowed = ratio * (bounds.relative[:, None] * sizes + bounds.absolute[:, None])
    assert bool((difference.norm(dim=2) <= allowed).all())
    assert float(difference.abs().max()) > 0


def test_it_trains_within_its_budgets():
    model = bank()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    contexts = torch.randn(64, 3, 1, dtype=torch.float64)
    outcomes = 5 * contexts[:, -1]
    losses = []
    for _ in range(30):
        loss = (model(contexts, model.weights()) - outcomes).square().mean((1, 2))
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        losses.append(loss.detach())
    assert bool((losses[-1] < losses[0]).all())
    assert float(losses[-1][0]) > float(losses[-1][2])  # a small budget underfits
    torch.testing.assert_close(model.bounds(model.weights()).lipschitz, torch.tensor(2 * BUDGETS).double())


@pytest.mark.parametrize("linear", ["orthogonal", "bjorck", "plain"])
def test_a_configuration_s_bank(linear, make_config):
    model = experts(make_config("task=online", "dataset=setar", f"linear={linear}"), 1)
    assert model.constrained == (linear != "plain")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}


def test_activations_that_learn_are_refused(make_config):
    config = make_config("task=online", "dataset=setar")
    config = dataclasses.replace(config, activation=make_config("activation=prelu").activation)
    with pytest.raises(UserError, match="learns, and the networks of a bank share it"):
        experts(config, 1)


def test_every_activation_is_a_lipschitz_one():
    model = bank(make=lambda width: nn.LeakyReLU(0.1))
    assert model.bounds(model.weights()).lipschitz.shape == (6,)
