import pytest
import torch
from small_loop import BATCHES, EPOCHS, Objective, small_model, small_split
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.errors import UserError
from lipnet.layers import BCOPConv2d, MaxMin, OrthogonalLinear
from lipnet.runs import checkpoint
from lipnet.training.average import Average
from lipnet.training.loop import Loop
from lipnet.training.tracker import Tracker

DECAY = 0.6


class Watched(Objective):
    """Keeps the parameters before each step, and what is validated."""

    def __init__(self):
        super().__init__()
        self.before, self.validated = [], []

    def step(self, model, images, labels):
        self.before.append([parameter.detach().clone() for parameter in self.loop.model.parameters()])
        return super().step(model, images, labels)

    def validate(self, model, epoch):
        self.validated.append([parameter.detach().clone() for parameter in model.parameters()])
        return super().validate(model, epoch)


@pytest.fixture
def made(make_config, tmp_path):
    def make(*overrides):
        config = make_config(
            f"epochs={EPOCHS}", "batch_size=4", "progress=off", "optimizer=sgd", "optimizer.lr=0.5", *overrides
        )
        objective = Watched()
        objective.loop = Loop(small_model(), small_split(), config, tmp_path, {})
        return objective

    return make


def run(objective, directory):
    tracker = Tracker(directory, 0)
    try:
        objective.loop.run(objective, tracker)
    finally:
        tracker.close()


def test_what_is_validated_and_saved_is_the_average_of_every_step(made, tmp_path):
    objective = made(f"averaging={DECAY}")
    run(objective, tmp_path)
    steps = [*objective.before[1:], list(objective.loop.model.parameters())]
    average = [parameter.clone() for parameter in objective.before[0]]
    for number, parameters in enumerate(steps):
        decay = min(DECAY, (1 + number) / (10 + number))
        average = [decay * old + (1 - decay) * new.detach() for old, new in zip(average, parameters, strict=True)]
        if (number + 1) % BATCHES == 0:
            torch.testing.assert_close(objective.validated[number // BATCHES], average)
    saved = checkpoint.load(objective.loop.best)
    torch.testing.assert_close(list(saved["model"].values()), average)
    torch.testing.assert_close(list(saved["trained"]["model"].values()), [p.detach() for p in steps[-1]])
    assert saved["trained"]["steps"] == EPOCHS * BATCHES


def test_training_is_the_same_with_it(made, tmp_path):
    with_it, without = made("averaging=0.9"), made()
    for objective in (with_it, without):
        run(objective, tmp_path)
    assert all(map(torch.equal, with_it.loop.model.parameters(), without.loop.model.parameters()))
    assert without.loop.deployed is without.loop.model
    assert "trained" not in checkpoint.load(without.loop.last)


def test_a_checkpoint_without_one_is_refused(made, tmp_path):
    run(made(), tmp_path)
    with pytest.raises(UserError, match=r"last\.pt"):
        made("averaging=0.9").loop.restore()


def test_a_mean_of_free_parameters_is_an_orthogonal_network():
    torch.manual_seed(0)
    network = nn.Sequential(BCOPConv2d(2, 4, 3), MaxMin(), nn.Flatten(), OrthogonalLinear(64, 5))
    average, optimizer = Average(network, 0.9), torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(20):
        optimizer.zero_grad()
        network(torch.randn(8, 2, 4, 4)).square().sum().backward()
        optimizer.step()
        average.step()
    assert lipschitz_bound(average.model, (2, 4, 4)) == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(average.model[0].weight, network[0].weight)


def test_buffers_are_those_of_the_network():
    network = nn.BatchNorm1d(2)
    average = Average(network, 0.9)
    network(torch.randn(5, 2))
    average.step()
    assert torch.equal(average.model.running_mean, network.running_mean)
    assert not average.model.training
