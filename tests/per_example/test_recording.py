"""One backward pass, from which norms, sums and gradients follow; and a network that is left as it was."""

import copy
import threading

import pytest
import torch
from example_networks import EXAMPLES, NETWORKS, Twice, built, losses
from torch import nn
from torch.utils.checkpoint import checkpoint

from lipnet.layers import LinearSpline, OrthogonalLinear
from lipnet.layers.given import given_weight
from lipnet.per_example import per_example_gradients, pull_back, recording
from lipnet.per_example.products import squares_of

CLOSE = {"rtol": 0, "atol": 1e-10}


def taped(network, inputs, targets, strategy="auto"):
    with recording(network, strategy) as tape:
        loss = losses(network(inputs), targets).sum()
    tape.backward(loss)
    return tape


@pytest.mark.parametrize("strategy", ["auto", "crb", "unfold", "ghost"])
@pytest.mark.parametrize("name", NETWORKS)
def test_norms_and_sums_are_those_of_the_gradients(name, strategy):
    network, inputs, targets = built(name)
    exact = per_example_gradients(network, losses, inputs, targets, "naive", effective=True)
    tape = taped(network, inputs, targets, strategy)
    squares, factors = tape.squared_norms(), torch.tensor([0.3, -2.0, 0.0], dtype=torch.float64)
    assert list(squares) == list(exact)
    for key, gradient in exact.items():
        torch.testing.assert_close(squares[key], squares_of(gradient), rtol=1e-10, atol=1e-10)
        sums = tape.weighted_sums(factors)[key]
        torch.testing.assert_close(sums, torch.einsum("b...,b->...", gradient, factors), **CLOSE)
    torch.testing.assert_close(tape.norms(), sum(squares.values()).sqrt(), **CLOSE)
    part = slice(1, EXAMPLES)
    torch.testing.assert_close(tape.gradients(part), {key: whole[part] for key, whole in exact.items()}, **CLOSE)


@pytest.mark.parametrize("strategy", ["auto", "ghost"])
@pytest.mark.parametrize("name", ["network", "twice", "tied", "conv2d_rectangular"])
def test_little_memory_gives_the_same(monkeypatch, name, strategy):
    network, inputs, targets = built(name)
    whole = taped(network, inputs, targets, strategy).squared_norms()
    monkeypatch.setattr("lipnet.per_example.unit._AT_ONCE", 1)
    monkeypatch.setattr("lipnet.per_example.products._AT_ONCE", 1)
    torch.testing.assert_close(taped(network, inputs, targets, strategy).squared_norms(), whole, **CLOSE)


def test_the_loss_is_times_a_constant_and_of_several_calls():
    network, inputs, targets = built("network")
    once = taped(network, inputs, targets)
    with recording(network) as tape:
        loss = sum(losses(network(inputs), targets).sum() for _ in range(2)) / 4
    tape.backward(loss)
    torch.testing.assert_close(tape.norms(), once.norms() / 2, **CLOSE)


def test_no_weight_is_built_or_differentiated(monkeypatch):
    network, inputs, targets = built("network")
    losses(network(inputs), targets)  # builds the weights of this step

    def fail(*arguments):
        raise AssertionError("a constrained layer's own path")

    for name in ("_factor", "_FactoredLinear"):
        monkeypatch.setattr(f"lipnet.layers.dense.orthogonal.{name}", fail)
    monkeypatch.setattr("lipnet.layers.convolutions.bcop._Composition.backward", fail)
    tape = taped(network, inputs, targets)
    tape.weighted_sums(tape.norms())


def test_no_examples():
    network, inputs, targets = built("network")
    tape = taped(network, inputs[:0], targets[:0])
    assert tape.norms().shape == (0,)
    assert all(not total.any() for total in tape.weighted_sums(torch.zeros(0)).values())
    assert {part.shape[0] for part in tape.gradients().values()} == {0}


def test_modules_that_the_loss_does_not_reach_have_zeros():
    network, inputs, targets = built("twice")
    gradients = taped(network, inputs, targets).gradients()
    assert not gradients["unused.weight"].any()
    assert gradients["conv.weight"].any()


def _traces(network):
    return [
        (list(module._forward_hooks), list(module._forward_pre_hooks), set(vars(module)))
        for module in network.modules()
    ]


def test_nothing_is_left_behind():
    network, inputs, targets = built("network")
    before = _traces(network)
    taped(network, inputs, targets)
    assert _traces(network) == before

    def fail():
        with recording(network):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert _traces(network) == before
    assert given_weight(network[0]) is None


def test_an_exception_within_a_module_leaves_the_recording_whole():
    network, inputs, targets = built("network")
    exact = taped(network, inputs, targets).norms()
    with recording(network) as tape:
        with pytest.raises((RuntimeError, ValueError)):
            network(inputs[:, :1])
        loss = losses(network(inputs), targets).sum()
    tape.backward(loss)
    torch.testing.assert_close(tape.norms(), exact, **CLOSE)


def test_other_threads_are_not_recorded():
    network, inputs, targets = built("network")
    exact = taped(network, inputs, targets).norms()
    with recording(network) as tape:
        thread = threading.Thread(target=network, args=(inputs[:1],))
        thread.start()
        thread.join()
        loss = losses(network(inputs), targets).sum()
    tape.backward(loss)
    torch.testing.assert_close(tape.norms(), exact, **CLOSE)


def test_half_precision_is_computed_in_the_precision_of_the_parameters():
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), OrthogonalLinear(12, 4))
    inputs, targets = torch.randn(3, 2, 4, 4), torch.zeros(3)
    exact = taped(network, inputs, targets)
    with recording(network) as tape, torch.autocast("cpu", torch.bfloat16):
        loss = losses(network(inputs).float(), targets).sum()
        tape.backward(loss)
        norms = tape.norms()
    assert norms.dtype is torch.float32
    torch.testing.assert_close(norms, exact.norms(), rtol=0.05, atol=0)


def test_parameters_of_low_precision():
    exact = nn.Sequential(nn.Conv2d(2, 3, 3), nn.PReLU(), nn.Flatten(), OrthogonalLinear(12, 4))
    inputs, targets = torch.randn(3, 2, 4, 4), torch.zeros(3)
    low, factors = copy.deepcopy(exact).bfloat16(), torch.ones(3)
    tapes = taped(exact, inputs, targets), taped(low, inputs.bfloat16(), targets.bfloat16())
    expected, found = (tape.norms() for tape in tapes)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0)
    pulled = pull_back(low, tapes[1].weighted_sums(factors))
    assert {part.dtype for part in pulled.values()} == {torch.bfloat16}


class TwoOutputs(nn.Module):
    """One of its outputs has no gradient, and nothing depends on another."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(3))

    def forward(self, inputs):
        return inputs.detach().sin(), self.factor * inputs, self.factor.cos() * inputs


def test_outputs_that_the_loss_does_not_depend_on():
    module, inputs = TwoOutputs(), torch.randn(4, 3)
    with recording(module) as tape:
        first, second, _ = module(inputs)
        loss = (first * second).sum()
    tape.backward(loss)
    torch.testing.assert_close(tape.gradients()["factor"], inputs.sin() * inputs)
    torch.testing.assert_close(tape.weighted_sums(torch.ones(4))["factor"], (inputs.sin() * inputs).sum(0))


class Squashing(nn.Module):
    """Changes its input."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(3))

    def forward(self, inputs):
        return self.factor * inputs.mul_(2)


class Bypassed(nn.Module):
    """Uses the parameters of a module that it does not call."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.called = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, inputs):
        return self.called(inputs @ self.linear.weight)


class Reused(nn.Module):
    """Uses a free parameter of a constrained layer besides."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = OrthogonalLinear(3, 3)

    def forward(self, inputs):
        return self.linear(inputs) @ self.linear.raw_weight


class Fed(nn.Module):
    """Gives a module a parameter for examples."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.inputs = nn.Linear(3, 2), nn.ParameterList([torch.zeros(4, 3)])

    def forward(self, inputs):
        return self.linear(self.inputs[0])


class Rows(nn.Module):
    """Takes rows of examples for examples."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, inputs):
        return self.linear(inputs.flatten(0, 1)).view(len(inputs), -1)


class Checkpointed(nn.Sequential):
    """Computes its modules again in the backward pass, by the older way."""

    def forward(self, inputs):
        return checkpoint(super().forward, inputs, use_reentrant=True)


IMAGES = torch.zeros(4, 3)
REFUSED = {
    "batch norm": (lambda: nn.Sequential(nn.BatchNorm2d(3)), IMAGES, r"0 \(BatchNorm2d\) normalises by the batch"),
    "running statistics": (lambda: nn.InstanceNorm1d(3, track_running_stats=True), IMAGES, "keeps running statistics"),
    "attention": (lambda: nn.MultiheadAttention(3, 1), IMAGES, "takes examples along axis 1; batch_first=True"),
    "random": (lambda: nn.RReLU(), IMAGES, "no module that learns has been called"),
    "one image": (lambda: nn.Sequential(nn.Conv1d(4, 2, 1)), IMAGES, r"0 \(Conv1d\) was given inputs \(4, 3\)"),
    "one row": (lambda: nn.Linear(3, 2), torch.zeros(3), r"the network \(Linear\) was given inputs \(3,\), without"),
    "rows": (Rows, torch.zeros(4, 2, 3), r"linear \(Linear\) has 8 rows along axis 0 for 4 examples"),
    "changes": (Squashing, IMAGES, r"the network \(Squashing\) changes its input in place"),
    "bypassed": (Bypassed, IMAGES, "linear.weight is used outside of the module that it belongs to"),
    "checkpointed": (
        lambda: nn.Sequential(Checkpointed(nn.Linear(3, 2))), IMAGES.clone().requires_grad_(),
        "called without gradients",
    ),
    "used twice": (Reused, IMAGES, "linear.raw_weight is used outside of the module that it belongs to"),
    "parameter as an input": (Fed, IMAGES, "inputs.0 is used outside of the module that it belongs to"),
    "compiled": (lambda: torch.compile(nn.Linear(3, 2)), IMAGES, "is compiled"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "inputs", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(make, inputs, message):
    network = make()

    def run():
        with recording(network) as tape:
            loss = network(inputs).sum()
        tape.backward(loss)

    with pytest.raises((ValueError, RuntimeError, TypeError), match=message):
        run()
    assert all(not module._forward_hooks for module in network.modules())


def test_a_random_unit_is_refused():
    network = nn.Sequential(Twice())
    network.add_module("1", nn.MultiheadAttention(5, 1, dropout=0.5, batch_first=True))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network[1]

        def forward(self, inputs):
            return self.inner(inputs, inputs, inputs)[0]

    inputs, targets = torch.randn(3, 4, 5), torch.zeros(3)
    tape = taped(Net(), inputs, targets)
    with pytest.raises(RuntimeError, match=r"inner \(MultiheadAttention\) cannot be called with one example at a time"):
        tape.gradients()


def test_refusals_of_what_comes_later():
    network, inputs, targets = built("network")
    with (
        pytest.raises(ValueError, match="strategy is one of auto, crb, unfold, ghost, got 'fast'"),
        recording(network, "fast"),
    ):
        pass
    with pytest.raises(RuntimeError, match="which are switched off"), torch.no_grad(), recording(network):
        pass
    with recording(network) as tape:
        values = losses(network(inputs), targets)
    with pytest.raises(RuntimeError, match="before backward"):
        tape.norms()
    with pytest.raises(ValueError, match=r"takes one number, the sum over the examples, got \(3,\)"):
        tape.backward(values)
    tape.backward(values.sum())
    with pytest.raises(ValueError, match=r"3 examples need as many factors, got \(2,\)"):
        tape.weighted_sums(torch.ones(2))
    inputs.add_(1)
    with pytest.raises(RuntimeError, match=r"0 \(BCOPConv2d\) was given.* has been changed in place"):
        tape.norms()


def test_a_penalty_on_parameters_is_no_examples_term():
    network = nn.Sequential(nn.Linear(3, 3), LinearSpline(3, tv2=1.0))
    with recording(network) as tape:
        loss = network(IMAGES).sum() + network[1].regularizer()
    with pytest.raises(ValueError, match=r"1.values is used outside of the module.* or in the loss itself"):
        tape.backward(loss)
