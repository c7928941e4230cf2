import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from lipnet.certify.sensitivity import Inputs, Sensitivity
from lipnet.layers import BCOPConv2d, MaxMin, OrthogonalLinear
from lipnet.layers.convolutions.rko import RKOConv2d
from lipnet.per_example import per_example_gradients, pull_back
from lipnet.randomness import Secret
from lipnet.training.private import BoundedByConstants, Clipped, PrivateUpdate

BATCH, CLASSES, SHAPE = 7, 3, (2, 4, 4)


class Shrinking(nn.Linear):
    """A layer with a term of its own in the loss."""

    def regularizer(self):
        return 0.1 * self.weight.square().sum()


NETWORKS = {
    "plain": lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, CLASSES)),
    "bcop": lambda: nn.Sequential(
        BCOPConv2d(2, 4, 2, 2), MaxMin(), nn.Flatten(), OrthogonalLinear(16, 8), MaxMin(), OrthogonalLinear(8, CLASSES)
    ),
    "rko": lambda: nn.Sequential(RKOConv2d(2, 4, 3), MaxMin(), nn.Flatten(), OrthogonalLinear(64, CLASSES)),
    "regularized": lambda: nn.Sequential(nn.Flatten(), Shrinking(32, CLASSES)),
}
over_networks = pytest.mark.parametrize("case", NETWORKS)


def losses(outputs, labels):
    return functional.cross_entropy(outputs, labels, reduction="none")


def batch(count=BATCH):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(count, *SHAPE, generator=generator).double(), torch.arange(count) % CLASSES


def network(case):
    torch.manual_seed(1)
    return NETWORKS[case]().double()


def made(model, contributions=None, clip=0.5, noise=0.0, secret=None):
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    return PrivateUpdate(
        model, optimizer, contributions or Clipped(model, clip, BATCH), noise, BATCH, secret or Secret(5)
    )


def loss_of(model, inputs, labels):
    """As the task has it: over the batch's average size, whatever its own."""
    return lambda: (losses(model(inputs), labels).sum() / BATCH, torch.zeros(0))


def clipped_one_by_one(model, inputs, labels, clip):
    """By effective weights, of one example after the other."""
    each = per_example_gradients(model, losses, inputs, labels, strategy="naive", effective=True)
    norms = torch.cat([gradient.flatten(1) for gradient in each.values()], dim=1).norm(dim=1)
    factors = (clip / norms).clamp(max=1)
    return {name: torch.einsum("b,b...->...", factors, gradient) for name, gradient in each.items()}, norms


@over_networks
def test_a_step_without_noise_is_along_the_clipped_gradients(case):
    model, (inputs, labels) = network(case), batch()
    _, norms = clipped_one_by_one(model, inputs, labels, 1.0)
    clip = float(norms.median())  # so that some are clipped and some are not
    sums, _ = clipped_one_by_one(model, inputs, labels, clip)
    expected = pull_back(model, sums)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    regularizers = {name: 0.2 * before[name] for name in before if case == "regularized" and name.endswith("weight")}
    made(model, clip=clip).step(loss_of(model, inputs, labels))
    for name, parameter in model.named_parameters():
        moved = expected[name] / BATCH + regularizers.get(name, 0)
        torch.testing.assert_close(before[name] - parameter, moved, rtol=3e-5, atol=1e-5 * clip)


@over_networks
def test_no_example_adds_more_than_the_clip(case):
    """Whatever it is: a batch with it, and without it."""
    model, (inputs, labels) = network(case), batch()
    inputs[0] *= 1e4
    contributions = Clipped(model, 0.5, BATCH)
    whole = contributions(loss_of(model, inputs, labels)).gradients
    for left_out in range(BATCH):
        rest = torch.arange(BATCH) != left_out
        part = contributions(loss_of(model, inputs[rest], labels[rest])).gradients
        differences = torch.cat([(whole[name] - part[name]).flatten() for name in whole])
        assert 0 < float(differences.norm()) <= 0.5


@over_networks
@pytest.mark.parametrize("count", [0, BATCH])
def test_noise_is_of_effective_weights_and_pulled_back(case, count):
    """In units of the clip, over the batches' average size; of an empty batch there is nothing else."""
    model, (inputs, labels) = network(case), batch(count)
    update = made(model, noise=2.0)
    gradients, bounds, _ = update.contributions(loss_of(model, inputs, labels))
    noise = {name: value - gradients[name] / BATCH for name, value in update._noisy(gradients, bounds).items()}
    if not count:
        assert all(not gradient.any() for gradient in gradients.values())
    numbers = torch.cat([value.flatten() for value in noise.values()]) / (2.0 * 0.5 / BATCH)
    assert abs(float(numbers.std()) - 1) < 4 / math.sqrt(2 * len(numbers))
    assert abs(float(numbers.mean())) < 4 / math.sqrt(len(numbers))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    along = pull_back(model, {name: gradients[name] / BATCH + noise[name] for name in noise})
    update.step(loss_of(model, inputs, labels))
    for name, parameter in model.named_parameters():
        if case != "regularized":
            torch.testing.assert_close(before[name] - parameter, along[name])


def _noises(update, steps):
    gradients = {"weight": torch.zeros(50)}
    found = []
    for _ in range(steps):
        found.append(update._noisy(gradients, {"weight": 1.0})["weight"])
        update.steps += 1
    return torch.stack(found)


def test_noise_never_repeats():
    noises = torch.cat([_noises(made(network("plain"), noise=1.0, secret=Secret()), 20) for _ in range(3)])
    assert len(noises.flatten().unique()) == noises.numel()


def test_it_goes_on_with_the_noise_of_its_state():
    first, again = (made(network("plain"), noise=1.0, secret=Secret()) for _ in range(2))
    _noises(first, 3)
    again.load_state_dict(first.state_dict())
    assert torch.equal(_noises(first, 2), _noises(again, 2))
    assert again.secret.number == first.secret.number


STATES = {
    "no secret": {"steps": 1},
    "steps": {"steps": -1, "secret": "3"},
    "text": {"steps": 1, "secret": "x"},
}


@pytest.mark.parametrize("case", STATES)
def test_another_state_is_refused(case):
    update = made(network("plain"))
    with pytest.raises((ValueError, LookupError)):
        update.load_state_dict(STATES[case])
    assert update.steps == 0


def test_a_state_that_was_forgotten_trains_no_further():
    update = made(network("plain"))
    update.load_state_dict({})
    with pytest.raises(RuntimeError, match="its secret is forgotten"):
        update.step(lambda: None)


def test_nothing_is_reported_of_examples():
    assert made(network("plain")).metrics() == {}
    model = network("regularized")
    assert made(model).metrics() == {"train/regularizer": pytest.approx(float(model[1].regularizer().detach()))}


def _bounded(case="bcop"):
    model = network(case)
    sensitivity = Sensitivity(model, Inputs(torch.full(SHAPE, 0.5).double(), math.sqrt(32) / 2), math.sqrt(2))
    return model, sensitivity, BoundedByConstants(model, sensitivity, BATCH)


@pytest.mark.parametrize("case", ["bcop", "rko"])
def test_without_clipping_it_is_the_whole_gradient(case):
    model, _, contributions = _bounded(case)
    inputs, labels = batch()
    gradients = contributions(loss_of(model, inputs, labels)).gradients
    each = per_example_gradients(model, losses, inputs, labels, strategy="naive", effective=True)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, each[name].sum(0))


def test_without_clipping_all_bounds_together_are_one_unit():
    """An example's gradient, each part in units of its bound: the noise of one mechanism covers all."""
    model, sensitivity, contributions = _bounded()
    inputs, labels = batch()
    bounds, limits = contributions(loss_of(model, inputs, labels)).bounds, sensitivity.bounds()
    assert bounds.keys() == limits.keys()
    assert sum((limits[name] / bounds[name]) ** 2 for name in limits) == pytest.approx(1)
    each = per_example_gradients(model, losses, inputs, labels, strategy="naive", effective=True)
    units = torch.cat([gradient.flatten(1) / bounds[name] for name, gradient in each.items()], dim=1).norm(dim=1)
    assert float(units.max()) <= 1
