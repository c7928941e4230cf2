import importlib.util
import json
import os
import shutil
import signal

import onnxruntime
import pytest
import torch
from launching import charts_without_curves, curves, events, launch, outcome_of, results, table
from torch import nn

from lipnet import load_run
from lipnet.data.images import Split
from lipnet.export.__main__ import main as certify
from lipnet.layers import OrthogonalLinear
from lipnet.models.gan import Gan, latent_vectors
from lipnet.runs.load import new_model
from lipnet.runs.recorded import recorded_config
from lipnet.tasks.gan import task as gan
from lipnet.tasks.gan.task import GenerativeAdversarial, LatentBatches, gradient_penalty
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


def test_a_critic_of_splines_shows_them(tmp_path):
    outcome = launch(*TINY, "epochs=1", "activation=spline", "activation.tv2=1e-4", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.output
    assert (tmp_path / "activations.png").stat().st_size > 1000
    assert "test/activations" in events(tmp_path).Tags()["images"]
    assert results(tmp_path)["lipschitz_upper_bound"] == pytest.approx(1, abs=1e-5)


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
    original, calls = GenerativeAdversarial.step, []

    def step(self, *arguments):
        calls.append(1)
        if len(calls) == STEPS + 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(GenerativeAdversarial, "step", step)
        assert launch(*TINY, f"hydra.run.dir={tmp_path / 'run'}").code == 143
    outcome = launch(f"resume={tmp_path / 'run'}")
    assert outcome.code == 0, outcome.output
    assert "continuing after epoch 1, batch 1" in outcome.output
    assert outcome_of(tmp_path / "run") == outcome_of(run["directory"])
    assert curves(tmp_path / "run") == curves(run["directory"])


SAME = ("gan", "lipschitz_upper_bound", "generator_parameters", "parameters", "best_epoch", "seed")


def test_an_evaluation_finds_the_same_again(run, tmp_path):
    outcome = launch("task=evaluate", f"run={run['directory']}", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.output
    old, new = results(run["directory"]), results(tmp_path)
    assert {key: new[key] for key in SAME} == {key: old[key] for key in SAME}
    assert (new["task"], new["run"], new["choices"]["loss"]) == ("evaluate", str(run["directory"]), "kantorovich")
    assert not {"epochs", "train_seconds", "validation"} & set(new)
    assert (tmp_path / "samples.png").read_bytes() == (run["directory"] / "samples.png").read_bytes()
    assert f"task=wasserstein dataset=gan run={run['directory']}" in outcome.output


def test_an_evaluation_of_fewer_test_images(run, tmp_path):
    outcome = launch("task=evaluate", f"run={run['directory']}", "dataset.limit_test=9", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.output
    assert results(tmp_path)["gan"]["samples"] == 9


MISTAKES = {
    "what no GAN reads": (("task=evaluate", "attack.steps=3"), "attack.steps: only task=robustness, private read it"),
    "no radii either": (("task=export", "eval_radii=[0.5]"), "eval_radii: only task=robustness, private read it"),
    "what is the run's own": (("task=evaluate", "generator.latent=3"), "the run in {run} has generator.latent=62"),
    "another seed": (("task=evaluate", "seed=1"), "the run in {run} has seed=0"),
    "another loss": (("task=evaluate", "loss=margin"), "the run in {run} has loss=kantorovich"),
    "no class to be sure of": (
        ("task=export", "task.assured=true"), "task.assured=true: a network of task=gan predicts no class",
    ),
    "no such number": (
        ("-m", "task=evaluate", "objective=gan.transport"), "did you mean gan.transport_of_training",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_what_a_finished_gan_is_not_asked(run, tmp_path, case):
    arguments, message = MISTAKES[case]
    outcome = launch(*arguments, f"run={run['directory']}", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 1
    assert message.format(run=run["directory"]) in outcome.output
    assert "Traceback" not in outcome.output
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_a_run_brought_along_is_no_mistake_once_it_is_gone(run, tmp_path):
    """A table of evaluations outlives the runs."""
    gone = shutil.copytree(run["directory"], tmp_path / "gone")
    assert launch("task=evaluate", f"run={gone}", f"hydra.run.dir={tmp_path / 'again'}").code == 0
    shutil.rmtree(gone)
    assert recorded_config(tmp_path / "again").loss.name == "kantorovich"


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported")
    outcome = launch("task=export", f"run={run['directory']}", f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.output
    assert "the critic's, which is not exported: at most 1.0000" in outcome.output
    return directory


def _loaded(directory):
    spec = importlib.util.spec_from_file_location("network_of_a_gan", directory / "network.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@torch.no_grad()
def test_an_exported_generator_draws_the_same_images(run, exported):
    model, latent = load_run(run["directory"]).model, torch.rand(7, 62)
    images, module = model.generator(latent), _loaded(exported)
    torch.testing.assert_close(module.load()(latent), images, rtol=0, atol=1e-6)
    session = onnxruntime.InferenceSession(str(exported / "network.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(["images"], {"latent": latent.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), images, rtol=0, atol=1e-5)
    (line,) = [line for line in module.__doc__.splitlines() if "load()" in line]
    namespace = {"load": module.load, "torch": torch}
    exec(line.removeprefix(">>> "), namespace)
    assert namespace["images"].shape == (64, 1, 8, 8)


def test_its_certificate_is_that_of_the_generator(run, exported, capsys):
    """From latent vectors to images: large, but proved, and not the critic's."""
    assert certify([str(exported)]) == 0
    assert "the certificate holds" in capsys.readouterr().out
    found, model = results(exported), load_run(run["directory"]).model
    latent = torch.rand(2, 200, 62)
    with torch.no_grad():
        images = model.generator(latent.flatten(0, 1)).unflatten(0, (2, 200)).flatten(2)
    slope = float(((images[0] - images[1]).norm(dim=1) / (latent[0] - latent[1]).norm(dim=1)).max())
    assert 0 < slope <= found["lipschitz_upper_bound"]
    assert found["critic_lipschitz_upper_bound"] == results(run["directory"])["lipschitz_upper_bound"]
    certificate = json.loads((exported / "certificate.json").read_text())
    assert (certificate["input"]["shape"], certificate["outputs"]) == ([62], [1, 8, 8])


def test_a_generator_with_other_statistics_is_not_certified(exported, tmp_path, capsys):
    shutil.copytree(exported, tmp_path / "copy")
    state = torch.load(tmp_path / "copy" / "weights.pt", weights_only=True)
    state["1.running_var"] /= 4
    torch.save(state, tmp_path / "copy" / "weights.pt")
    assert certify([str(tmp_path / "copy")]) == 1
    assert "1.running_var: its shape, type or numbers are not the certified ones" in capsys.readouterr().err


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
def small(make_session):
    """A tiny GAN with its task and a batch; the critic is penalised."""
    overrides = ("task=gan", "model=gan_critic", "model.channels=[4]", "model.hidden=[8]", "generator.latent=3")
    task = GenerativeAdversarial(make_session(*overrides))
    return task.config, new_model(task.config), task, torch.randint(17, (8, 1, 8, 8)) / 16


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
