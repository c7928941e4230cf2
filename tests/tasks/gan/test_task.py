import os
import signal
from unittest import mock

import pytest
import torch
from launching import charts_without_curves, curves, events, launch, outcome_of, results, table
from torch import nn

from lipnet import load_run
from lipnet.data.images import Split
from lipnet.layers import OrthogonalLinear
from lipnet.models.gan import Gan, latent_vectors
from lipnet.runs.load import new_model
from lipnet.tasks.gan import task as gan
from lipnet.tasks.gan.task import Adversarial, LatentBatches, gradient_penalty
from lipnet.training.schedules import build_optimizer, parameter_groups

EPOCHS, STEPS = 2, 4
TINY = (
    "task=gan", "dataset.limit_train=68", "dataset.limit_test=30", "batch_size=16", f"epochs={EPOCHS}",
    "model.channels=[4,4]", "model.hidden=[8]", "generator.hidden=[16]", "generator.channels=[4,4]",
    "task.critic_steps=3", "optimizer.lr=0.003", "progress=off", "threads=1", "device=cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("gan") / "run"
    outcome = launch(*TINY, f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.output
    return {"directory": directory, "output": outcome.output}


def test_the_results_keep_the_contract(run):
    found = results(run["directory"])
    assert (found["task"], found["status"], found["epochs"], found["best_epoch"]) == ("gan", "completed", 2, 2)
    assert {"train_seconds", "eval_seconds", "samples_per_second", "peak_memory_bytes"} <= set(found)
    assert not {"clean_accuracy", "wasserstein", "lipschitz_lower_bound"} & set(found)
    assert found["gan"]["samples"] == 30
    assert found["gan"]["transport_of_generated"] > found["gan"]["transport_of_training"] > 0
    assert found["lipschitz_upper_bound"] == pytest.approx(1, abs=1e-5)
    assert 0 < found["generator_parameters"] < found["parameters"]


def test_what_a_run_leaves_behind(run):
    names = {path.name for path in run["directory"].iterdir()}
    assert {"results.json", "metrics.csv", "samples.png", "checkpoints", "lipnet.log", ".hydra"} <= names
    rows = table(run["directory"] / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"train_loss", "train_critic_gap", "validation_critic_gap", "lipschitz_upper_bound"} <= set(rows[0])
    found = events(run["directory"])
    assert charts_without_curves(run["directory"]) == []
    assert [entry.step for entry in found.Images("samples/generated")] == [1, 2]
    assert {"train/critic_gap", "validation/critic_gap", "test/transport_of_generated"} <= set(found.Tags()["scalars"])
    assert f"task=wasserstein dataset=gan run={run['directory']}" in run["output"]


def test_a_loaded_generator_draws_images(run):
    loaded = load_run(run["directory"])
    model = loaded.model
    assert isinstance(model, Gan)
    assert not model.training
    latent = latent_vectors(20, model.latent, torch.Generator().manual_seed(1))
    with torch.no_grad():
        images = model.generator(latent)
        assert images.shape == (20, 1, 8, 8)
        assert 0 <= images.min() < images.max() <= 1
        torch.testing.assert_close(model.generator(latent[:1]), images[:1])  # each on its own


def test_an_epoch_is_continued_in_its_middle(run, tmp_path, monkeypatch):
    """SIGTERM after a step of the second epoch, before the generator's next: the rest is as if nothing had happened."""
    original, calls = Adversarial.step, []

    def step(self, *arguments):
        calls.append(1)
        if len(calls) == STEPS + 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Adversarial, "step", step)
        assert launch(*TINY, f"hydra.run.dir={tmp_path / 'run'}").code == 143
    outcome = launch(f"resume={tmp_path / 'run'}")
    assert outcome.code == 0, outcome.output
    assert "continuing after epoch 1, batch 1" in outcome.output
    assert outcome_of(tmp_path / "run") == outcome_of(run["directory"])
    assert curves(tmp_path / "run") == curves(run["directory"])


def test_a_gan_is_not_evaluated(run, tmp_path):
    outcome = launch("task=evaluate", f"run={run['directory']}", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 1
    assert f"task=wasserstein dataset=gan run={run['directory']}" in outcome.output


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(gan, "gradient_penalty", lambda *_: torch.tensor(torch.nan))
    overrides = ("model=gan_critic", "model.hidden=[8]", "dataset.limit_train=16")
    shorter = [part for part in TINY if not part.startswith(("model.hidden", "dataset.limit_train"))]
    outcome = launch(*shorter, *overrides, f"hydra.run.dir={tmp_path}")
    assert outcome.code == 1
    assert "not finite" in outcome.output
    assert "Traceback" not in outcome.output


@pytest.fixture
def small(make_config):
    """A tiny GAN with an objective and a batch; the critic is penalised."""
    config = make_config("task=gan", "model=gan_critic", "model.channels=[4]", "model.hidden=[8]", "generator.latent=3")
    images = Split(torch.randint(17, (8, 1, 8, 8)), torch.zeros(8, dtype=torch.int64), 16, torch.arange(8))
    model = new_model(config)
    return config, model, Adversarial(config, images, 3, mock.Mock(fresh=False)), images.pixels()


def test_only_a_turn_of_the_generator_moves_it(small):
    config, model, objective, images = small
    optimizer = build_optimizer(config.optimizer, parameter_groups(model, {"generator": 0.1}))
    for rows, moved in ((8, False), (16, True)):
        before = [parameter.detach().clone() for parameter in model.generator.parameters()]
        loss, _ = objective.step(model, images, torch.rand(rows, 3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert moved != all(map(torch.equal, before, model.generator.parameters()))


def test_the_generator_s_gradient_is_that_of_its_loss_alone(small):
    """Against the plain way: backward of ``-mean f(G(z))`` through both networks."""
    _, model, _, _ = small
    model.critic.eval()  # its normalisation would otherwise see other batches
    latent = torch.rand(8, 3)
    expected = torch.autograd.grad(-model.critic(model.generator(latent)).mean(), list(model.generator.parameters()))
    gan._generator_loss(model, latent).backward()
    for parameter, gradient in zip(model.generator.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)
    assert all(parameter.grad is None for parameter in model.critic.parameters())


def test_the_critic_s_gradient_is_not_touched_by_the_generator_s_turn(small):
    _, model, objective, images = small
    objective.penalty = None
    model.critic.eval()
    latent = torch.rand(16, 3)
    found = []
    for rows in (8, 16):
        model.zero_grad()
        objective.step(model, images, latent[:rows])[0].backward()
        found.append([parameter.grad.clone() for parameter in model.critic.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_penalty_of_a_linear_critic_is_known():
    """Its gradient is its weight everywhere: no penalty at norm 1, ``(3 - 1)^2`` at norm 3."""
    critic = nn.Sequential(nn.Flatten(), OrthogonalLinear(4, 1))
    first, second = torch.rand(2, 5, 1, 2, 2)
    assert gradient_penalty(critic, first, second).item() == pytest.approx(0, abs=1e-10)
    steeper = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    nn.init.constant_(steeper[1].weight, 1.5)
    penalty = gradient_penalty(steeper, first, second)
    assert penalty.item() == pytest.approx(4, rel=1e-5)
    penalty.backward()
    assert steeper[1].weight.grad is not None


def test_the_generator_s_turns_do_not_depend_on_where_an_epoch_is_entered(make_config):
    config = make_config("task=gan", "batch_size=4", "task.critic_steps=3")
    split = Split(torch.randint(17, (22, 1, 8, 8)), torch.zeros(22, dtype=torch.int64), 16, torch.arange(22))
    batches = LatentBatches(split, config, 3)
    assert len(batches) == 20  # five whole batches
    epochs = [list(batches.training_batches(4, 0, epoch)) for epoch in range(3)]
    turns = [len(latent) > len(images) for epoch in epochs for images, latent in epoch]
    assert turns == [number % 3 == 0 for number in range(1, 16)]
    entered = list(batches.training_batches(4, 0, 1, first=3))
    for (images, latent), (same_images, same_latent) in zip(epochs[1][3:], entered, strict=True):
        assert torch.equal(images, same_images)
        assert torch.equal(latent, same_latent)
    assert not torch.equal(epochs[0][0][1], epochs[1][0][1])
