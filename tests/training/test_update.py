import pytest
import torch
from launching import table
from small_loop import EPOCHS, Objective, small_model, small_split
from torch import nn
from torch.nn import functional

from lipnet.errors import UserError
from lipnet.runs import checkpoint
from lipnet.training import update
from lipnet.training.loop import Loop
from lipnet.training.tracker import Tracker
from lipnet.training.update import PlainUpdate


class Shrinking(nn.Linear):
    """A layer with a term of its own in the loss."""

    def regularizer(self):
        return 0.1 * self.weight.square().sum()


class Averaging(PlainUpdate):
    """Its state, a running mean of the loss, is no part of network or optimizer."""

    def __init__(self, model, optimizer, config):
        super().__init__(model, optimizer, config)
        self.mean = torch.zeros(())

    def step(self, loss):
        sums = super().step(loss)
        self.mean = 0.5 * self.mean + 0.5 * sums[0].detach()
        return sums

    def metrics(self):
        return {"train/mean": float(self.mean)}

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"]


@pytest.fixture
def config(make_config):
    return make_config(
        f"epochs={EPOCHS}", "batch_size=4", "progress=off", "optimizer=sgd", "optimizer.lr=0.5", "seed=3"
    )


def _made(config, directory, objective, kind=PlainUpdate, model=None):
    objective.loop = Loop(model or small_model(), small_split(), config, directory, {}, kind=kind)
    return objective.loop


def _run(made, objective, directory):
    tracker = Tracker(directory, made.progress.epoch)
    try:
        made.run(objective, tracker)
    finally:
        tracker.close()


def test_regularizers_are_added_to_the_loss():
    layer, inputs, labels = Shrinking(4, 3), torch.rand(5, 4), torch.arange(5) % 3
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    before = layer.weight.detach().clone()
    loss = functional.cross_entropy(layer(inputs), labels)
    expected = torch.autograd.grad(loss + 0.1 * layer.weight.square().sum(), layer.weight)[0]
    made = PlainUpdate(layer, optimizer, None)
    sums = made.step(lambda: (functional.cross_entropy(layer(inputs), labels), torch.tensor([7.0])))
    torch.testing.assert_close(layer.weight, before - expected)
    assert sums.tolist() == [7.0]
    assert made.metrics() == {"train/regularizer": pytest.approx(float(0.1 * layer.weight.detach().square().sum()))}


def test_an_epoch_reports_them(config, tmp_path):
    model, objective = nn.Sequential(nn.Flatten(), Shrinking(4, 3)), Objective()
    _run(_made(config, tmp_path, objective, model=model), objective, tmp_path)
    rows = table(tmp_path / "metrics.csv")
    assert float(rows[-1]["train_regularizer"]) == pytest.approx(float(model[1].regularizer().detach()), rel=1e-5)


def test_without_any_nothing_is_looked_for_nor_saved(config, tmp_path, monkeypatch):
    """Layers are searched once a run."""
    searched, search = [], update.regularized
    monkeypatch.setattr(update, "regularized", lambda model: searched.append(model) or search(model))
    objective = Objective()
    made = _made(config, tmp_path, objective)
    _run(made, objective, tmp_path)
    assert len(searched) == 1
    assert "update" not in checkpoint.load(made.last)
    assert not any("regularizer" in key for key in table(tmp_path / "metrics.csv")[0])


def test_its_state_is_saved_and_taken_over(config, tmp_path):
    objective = Objective()
    made = _made(config, tmp_path, objective, Averaging)
    _run(made, objective, tmp_path)
    assert torch.equal(checkpoint.load(made.last)["update"]["mean"], made.update.mean)
    again = _made(config, tmp_path, Objective(), Averaging)
    again.restore()
    assert torch.equal(again.update.mean, made.update.mean)
    rows = table(tmp_path / "metrics.csv")
    assert float(rows[-1]["train_mean"]) == pytest.approx(float(made.update.mean))


STATES = {
    "another kind's": (Averaging, PlainUpdate, "a plain update has no state, and this one has mean"),
    "none": (PlainUpdate, Averaging, "'mean'"),
}


@pytest.mark.parametrize("case", STATES)
def test_a_state_that_does_not_fit_is_refused(config, tmp_path, case):
    saved, kind, message = STATES[case]
    made = _made(config, tmp_path, Objective(), saved)
    made._save(made.last)
    with pytest.raises(UserError, match=message):
        _made(config, tmp_path, Objective(), kind).restore()
