"""Every strategy gives what autograd gives for one example at a time."""

import pytest
import torch
from example_networks import NETWORKS, built, losses
from torch import nn

from lipnet.layers import OrthogonalLinear, OSSNConv2d
from lipnet.per_example import per_example_gradients, per_example_norms
from lipnet.per_example.gradients import STRATEGIES
from lipnet.per_example.products import squares_of

OTHERS = [strategy for strategy in STRATEGIES if strategy not in ("naive", "ghost")]
CLOSE = {"rtol": 0, "atol": 1e-10}


def _norms(gradients):
    return torch.stack([squares_of(gradient) for gradient in gradients.values()]).sum(0).sqrt()


@pytest.mark.parametrize("effective", [False, True], ids=["free", "effective"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_strategy_is_autograd_of_one_example(name, effective):
    network, inputs, targets = built(name)
    exact = per_example_gradients(network, losses, inputs, targets, "naive", effective)
    if not effective:
        assert list(exact) == [name for name, part in network.named_parameters() if part.requires_grad]
    for strategy in OTHERS:
        found = per_example_gradients(network, losses, inputs, targets, strategy, effective)
        assert {key: value.shape for key, value in found.items()} == {key: part.shape for key, part in exact.items()}
        torch.testing.assert_close(found, exact, **CLOSE)
    norms = per_example_norms(network, losses, inputs, targets, "auto", effective)
    torch.testing.assert_close(norms, _norms(exact), **CLOSE)
    if effective:
        found = per_example_norms(network, losses, inputs, targets, "ghost", effective, by_parameter=True)
        torch.testing.assert_close(found, {key: squares_of(part).sqrt() for key, part in exact.items()}, **CLOSE)


@pytest.mark.parametrize("name", [name for name in NETWORKS if "conv" in name or "bcop" in name or name == "network"])
def test_convolutions_of_one_example_after_the_other(name, monkeypatch):
    monkeypatch.setattr("lipnet.per_example.convolution._LARGE", 0)
    network, inputs, targets = (part.float() for part in built(name))
    exact = per_example_gradients(network, losses, inputs, targets, "unfold", effective=True)
    found = per_example_gradients(network, losses, inputs, targets, "auto", effective=True)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-4)


def test_the_gradients_of_a_batch_are_their_sum():
    network, inputs, targets = built("network")
    found = per_example_gradients(network, losses, inputs, targets)
    network.zero_grad()
    losses(network(inputs), targets).sum().backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(found[name].sum(0), parameter.grad, **CLOSE)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_examples(strategy):
    network, inputs, targets = built("network")
    arguments = network, losses, inputs[:0], targets[:0], strategy
    assert per_example_norms(*arguments, effective=True).shape == (0,)
    if strategy != "ghost":
        assert per_example_norms(*arguments).shape == (0,)
        shapes = {name: part.shape for name, part in network.named_parameters()}
        assert {name: part.shape[1:] for name, part in per_example_gradients(*arguments).items()} == shapes


@pytest.mark.parametrize("strategy", OTHERS)
def test_evaluation_mode_has_the_gradients_of_the_weight_that_is_evaluated(strategy):
    network = nn.Sequential(OSSNConv2d(2, 3, 3, image_size=(4, 4)), nn.Flatten()).double().eval()
    with torch.no_grad():
        network[0].raw_weight.mul_(9)
    inputs, targets = torch.randn(2, 2, 4, 4, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    exact = per_example_gradients(network, losses, inputs, targets, "naive", effective=True)
    torch.testing.assert_close(
        per_example_gradients(network, losses, inputs, targets, strategy, effective=True), exact, **CLOSE
    )
    with pytest.raises(ValueError, match=r"no gradients to the free parameters of OSSNConv2d.* in evaluation mode"):
        per_example_gradients(network, losses, inputs, targets, strategy)


LINEAR = nn.Linear(3, 2)
REFUSED = {
    "strategy": ({"strategy": "fast"}, "strategy is one of auto, naive, multi, crb, unfold, ghost, got 'fast'"),
    "ghost": ({"strategy": "ghost"}, "gradients are of auto, naive, multi, crb, unfold"),
    "mean": (
        {"loss": lambda outputs, targets: outputs.mean()},
        r"shape \(\), and . examples need \(.,\), one value",
    ),
    "matrix": ({"loss": lambda outputs, targets: outputs}, r"shape \(., 2\), and . examples need"),
    "targets": ({"targets": torch.zeros(3)}, r"one row for each example, got shapes \(4, 3\) and \(3,\)"),
    "number": ({"inputs": torch.tensor(1.0)}, r"one row for each example, got shapes \(\) and \(4,\)"),
    "batch norm": ({"model": nn.Sequential(LINEAR, nn.BatchNorm1d(2))}, r"1 \(BatchNorm1d\) normalises by the batch"),
}


@pytest.mark.parametrize(("changed", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(changed, message):
    usual = {"model": LINEAR, "loss": losses, "inputs": torch.zeros(4, 3), "targets": torch.zeros(4)}
    for strategy in [*OTHERS, "naive"]:
        with pytest.raises(ValueError, match=message):
            per_example_gradients(**(usual | {"strategy": strategy} | changed))


def test_ghost_norms_are_of_effective_weights():
    network = OrthogonalLinear(3, 2)
    with pytest.raises(ValueError, match="ghost has norms of effective weights alone"):
        per_example_norms(network, losses, torch.zeros(4, 3), torch.zeros(4), "ghost")
    assert per_example_norms(LINEAR, losses, torch.zeros(4, 3), torch.zeros(4), "ghost").shape == (4,)


def test_random_layers_are_refused_where_examples_are_computed_at_once():
    network = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))
    with pytest.raises(RuntimeError, match="randomness"):
        per_example_gradients(network, losses, torch.zeros(4, 3), torch.zeros(4), "multi")
