"""A run that diverges stops, says where, and leaves its last good checkpoint."""

import math
import re

import pytest
import torch
from launching import TINY, launch, results
from torch import nn
from torch.nn import functional

from lipnet.data.images import Split
from lipnet.errors import UserError
from lipnet.layers import OrthogonalizationError
from lipnet.runs import checkpoint
from lipnet.training import divergence, loop
from lipnet.training.divergence import all_finite
from lipnet.training.loop import Loop
from lipnet.training.protocols import Validation
from lipnet.training.tracker import Tracker

EXAMPLES, BATCH, EPOCHS = 10, 4, 3  # three batches an epoch
FATAL = 5  # a step, counted from 0, in the second epoch


class Layer(nn.Module):
    """The identity, but for one step."""

    def __init__(self, change):
        super().__init__()
        self.change, self.loop = change, None

    def forward(self, inputs):
        done = self.loop.progress.epoch * self.loop.batches + self.loop.progress.batch
        return self.change(inputs) if self.training and done == FATAL else inputs


class Objective:
    sums = ("loss",)

    def __init__(self, change=lambda losses: losses):
        self.change, self.loop = change, None

    def begin_step(self, share):
        pass

    def step(self, model, images, labels):
        losses = functional.cross_entropy(model(images), labels, reduction="none")
        if self.loop.progress.epoch * self.loop.batches + self.loop.progress.batch == FATAL:
            losses = self.change(losses)
        return losses.mean(), losses.detach().sum()[None]

    def validate(self, model, epoch):
        return Validation({"validation/score": float(epoch)}, float(epoch))


class _Scaled(torch.autograd.Function):
    """The identity, with a gradient that is not its own."""

    @staticmethod
    def forward(ctx, inputs, factor):
        ctx.factor = factor
        return inputs.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.factor, None


def _refuse(inputs):
    raise OrthogonalizationError("Layer(): cannot orthonormalise it")


# what happens at the fatal step, in the layer and in the loss: what the message says of it
FAILURES = {
    "output": (lambda inputs: inputs * math.nan, None, "the output of layer 2 (Layer()) is not finite"),
    "loss": (None, lambda losses: losses + math.inf, "the loss is not finite"),
    "gradient": (
        lambda inputs: _Scaled.apply(inputs, math.inf),
        None,
        "the gradient of 1.bias (Linear(in_features=4, out_features=3",
    ),
    "update": (lambda inputs: _Scaled.apply(inputs, 1e38), None, "after the optimizer's update 1.weight (Linear("),
    "orthonormalisation": (_refuse, None, "Layer(): cannot orthonormalise it"),
}


def _loop(config, directory, layer, loss):
    torch.manual_seed(1)
    images, labels = torch.randint(256, (EXAMPLES, 1, 2, 2), dtype=torch.uint8), torch.arange(EXAMPLES) % 3
    fatal, objective = Layer(layer or (lambda inputs: inputs)), Objective(loss or (lambda losses: losses))
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), fatal, nn.Identity())
    made = Loop(model, Split(images, labels, 255, torch.arange(EXAMPLES)), config, directory, {})
    fatal.loop = objective.loop = made
    return made, objective


def _run(made, objective, directory):
    tracker = Tracker(directory)
    try:
        made.run(objective, tracker)
    finally:
        tracker.close()


@pytest.fixture
def config(make_config):
    return make_config(
        f"epochs={EPOCHS}", f"batch_size={BATCH}", "progress=off", "optimizer=sgd", "optimizer.lr=100", "seed=3"
    )


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["saved at every step", "saved at every epoch"])
def test_the_step_and_the_layer_are_named(config, tmp_path, monkeypatch, failure, seconds):
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", seconds)
    layer, loss, message = FAILURES[failure]
    made, objective = _loop(config, tmp_path, layer, loss)
    with pytest.raises(UserError) as error:
        _run(made, objective, tmp_path)
    text = str(error.value)
    assert text.startswith(f"training diverged: at step {FATAL + 1} (batch 3 of epoch 2), ")
    assert message in text
    assert "optimizer.lr (it is 100)" in text
    batches = 0 if seconds else 2
    assert f"The last good state is {made.last}, after {batches} batches of epoch 2. best.pt is of epoch 1." in text
    saved = checkpoint.load(made.last)
    assert (saved["progress"]["epoch"], saved["progress"]["batch"]) == (1, batches)
    assert all_finite(saved["model"].values())


def test_what_does_not_fail_twice_is_said_too(config, tmp_path):
    """On some devices the same step gives other numbers when it is repeated."""
    calls = []

    def fail_once(inputs):
        calls.append(inputs)
        return inputs * math.nan if len(calls) == 1 else inputs

    made, objective = _loop(config, tmp_path, fail_once, None)
    with pytest.raises(UserError, match=r"diverged: between step 4 and step 6, but not when they were repeated"):
        _run(made, objective, tmp_path)


def test_a_run_that_goes_well_is_not_watched(config, tmp_path, monkeypatch):
    """Whether numbers are finite is asked once an epoch: asking waits for the device."""
    asked = []
    monkeypatch.setattr(loop, "all_finite", lambda tensors: asked.append(tensors) or all_finite(tensors))
    monkeypatch.setattr(divergence, "all_finite", lambda tensors: pytest.fail("watched"))
    _run(*_loop(config, tmp_path, None, None), tmp_path)
    assert len(asked) == EPOCHS


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_all_finite(bad):
    assert all_finite([])
    assert all_finite([torch.ones(2, 2), torch.arange(3)])
    assert not all_finite([torch.ones(2, 2), torch.arange(3), torch.tensor([0.0, bad])])


def test_a_whole_run_that_diverges(tmp_path):
    outcome = launch(
        *TINY, "conv=plain", "linear=plain", "loss=cross_entropy", "optimizer=sgd", "optimizer.lr=100",
        f"hydra.run.dir={tmp_path}",
    )  # fmt: skip
    assert outcome.code == 1
    assert "Traceback" not in outcome.output
    assert re.search(r"^lipnet: training diverged: at step \d+ \(batch \d of epoch \d\), the ", outcome.output, re.M)
    found = results(tmp_path)
    assert found["status"] == "failed"
    assert found["error"].startswith("UserError: training diverged: at step")
    assert all_finite(checkpoint.load(tmp_path / "checkpoints" / "last.pt")["model"].values())
