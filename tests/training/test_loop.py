import dataclasses
import math
import signal

import pytest
import torch
from launching import table
from small_loop import BATCH, BATCHES, EPOCHS, EXAMPLES, Objective, small_model, small_split
from torch import nn
from torch.nn import functional

from lipnet.errors import UserError
from lipnet.runs import checkpoint
from lipnet.training import loop
from lipnet.training.interrupt import Interrupted
from lipnet.training.loop import Loop
from lipnet.training.tracker import Tracker


@pytest.fixture
def config(make_config):
    return make_config(
        f"epochs={EPOCHS}", f"batch_size={BATCH}", "progress=off", "optimizer=sgd", "optimizer.lr=0.5", "seed=3"
    )


def _loop(config, directory, objective):
    objective.loop = Loop(small_model(), small_split(), config, directory, {"facts": "kept"})
    return objective.loop


def _train(config, directory, objective, restore=False):
    made = _loop(config, directory, objective)
    if restore:
        made.restore()
    tracker = Tracker(directory, made.progress.epoch)
    try:
        made.run(objective, tracker)
    finally:
        tracker.close()
    return made


def test_training_is_plain_gradient_descent(config, tmp_path):
    objective = Objective()
    trained = _train(config, tmp_path, objective)
    model, split = small_model(), small_split()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    steps = EPOCHS * BATCHES
    for step in range(steps):
        batches = list(split.training_batches(BATCH, 3, step // BATCHES))
        images, labels = batches[step % BATCHES]
        progress = step / steps  # onecycle with warmup 0.25
        rising, falling = 0.04 + 0.96 * progress / 0.25, (1 + math.cos(math.pi * (progress - 0.25) / 0.75)) / 2
        optimizer.param_groups[0]["lr"] = 0.5 * (rising if progress < 0.25 else falling)
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        assert objective.shares[step] == progress
        assert objective.rates[step] == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(trained.model.state_dict()[name], value)


def test_an_epoch_reports_means_over_examples(config, tmp_path):
    objective = Objective()
    _train(config, tmp_path, objective)
    rows = table(tmp_path / "metrics.csv")
    for epoch, row in enumerate(rows):
        losses = torch.cat(objective.losses[epoch * BATCHES : (epoch + 1) * BATCHES])
        assert len(losses) == EXAMPLES
        assert float(row["train_loss"]) == pytest.approx(float(losses.double().mean()), rel=1e-6)
        assert float(row["train_examples"]) == 1
        assert float(row["optimizer_learning_rate"]) == objective.rates[(epoch + 1) * BATCHES - 1]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(objective.modes)


@pytest.mark.parametrize(
    ("scores", "error", "best"),
    [
        ((1, 2, 3), 0, 3), ((3, 2, 1), 0, 1), ((1, 3, 2), 0, 2), ((2, 2, 2), 0, 3), ((-5, -7, -6), 0, 1),
        ((5, 3, 4.5), 0.6, 3), ((5, 4.5, 4.2), 0.6, 2), ((1, 3, 2), 0.6, 2),
    ],
    ids=str,
)  # fmt: skip
def test_best_is_the_latest_within_an_error_of_the_highest_score(config, tmp_path, scores, error, best):
    trained = _train(config, tmp_path, Objective(scores, error=error))
    saved = checkpoint.load(trained.best)
    assert saved["progress"]["epoch"] == saved["progress"]["best_epoch"] == trained.progress.best_epoch == best
    assert saved["facts"] == "kept"


def test_there_is_a_best_epoch_even_where_no_score_is_a_number(config, tmp_path):
    assert _train(config, tmp_path, Objective((math.nan,) * 3)).best.is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [1, 3, 4, 8, 9])
def test_a_stopped_loop_continues_exactly(config, tmp_path, number, step):
    whole = _train(config, tmp_path / "whole", Objective())
    with pytest.raises(Interrupted) as error:
        _train(config, tmp_path / "stopped", Objective(strike=(number, step)))
    assert error.value.number == number
    progress = checkpoint.load(tmp_path / "stopped" / "checkpoints" / "last.pt")["progress"]
    assert progress["epoch"] * BATCHES + progress["batch"] == step
    rest = Objective()
    continued = _train(config, tmp_path / "stopped", rest, restore=True)
    assert len(rest.losses) == EPOCHS * BATCHES - step
    for name, value in whole.model.state_dict().items():
        assert torch.equal(continued.model.state_dict()[name], value)
    losses = [[row["train_loss"] for row in table(tmp_path / name / "metrics.csv")] for name in ("whole", "stopped")]
    assert losses[0] == losses[1]


class Told(nn.Linear):
    """Counts how far the training is, in its state."""

    def __init__(self):
        super().__init__(4, 3)
        self.register_buffer("shares", torch.zeros(0))

    def end_step(self, share):
        self.shares = torch.cat((self.shares, torch.tensor([share])))

    def diagnostics(self):
        return {"steps": float(len(self.shares))}


def test_layers_are_told_of_every_step(config, tmp_path):
    layer, objective = Told(), Objective()
    objective.loop = Loop(nn.Sequential(nn.Flatten(), layer), small_split(), config, tmp_path, {})
    tracker = Tracker(tmp_path)
    try:
        objective.loop.run(objective, tracker)
    finally:
        tracker.close()
    steps = EPOCHS * BATCHES
    torch.testing.assert_close(layer.shares, torch.arange(1, steps + 1) / steps)
    assert [row["layers_1_steps"] for row in table(tmp_path / "metrics.csv")] == ["3.0", "6.0", "9.0"]


def test_a_finished_loop_does_nothing_more(config, tmp_path):
    trained = _train(config, tmp_path, Objective())
    again = Objective()
    continued = _train(config, tmp_path, again, restore=True)
    assert again.losses == []
    assert torch.equal(continued.model[1].weight, trained.model[1].weight)


def test_random_numbers_continue_too(config, tmp_path):
    """A layer may draw numbers in training (dropout); the checkpoint holds torch's generator."""
    torch.manual_seed(5)
    with pytest.raises(Interrupted):
        _train(config, tmp_path, Objective(strike=(signal.SIGINT, 2)))
    expected = torch.rand(3)
    torch.manual_seed(6)
    _loop(config, tmp_path, Objective()).restore()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("seconds", "saves"), [(0.0, 1 + EPOCHS * (BATCHES + 1)), (1e9, 1 + EPOCHS)])
def test_long_epochs_are_saved_in_between(config, tmp_path, monkeypatch, seconds, saves):
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", seconds)
    written = []
    save = checkpoint.save
    monkeypatch.setattr(
        checkpoint, "save", lambda path, *rest, **options: (written.append(path.name), save(path, *rest, **options))
    )
    _train(config, tmp_path, Objective())
    assert written.count("last.pt") == saves


def test_the_bar_counts_batches(config, tmp_path, make_config, capsys):
    shown = make_config(f"epochs={EPOCHS}", f"batch_size={BATCH}", "progress=on")
    _train(shown, tmp_path, Objective())
    assert f"epoch {EPOCHS}/{EPOCHS}" in capsys.readouterr().err.replace("\r", "\n")


def test_amp_rounds_activations_and_keeps_everything_else_float32(config, tmp_path):
    """The layer under autocast sees bfloat16 inputs; its weight, its gradient and the steps stay float32."""
    objective, seen = Objective(), []
    _loop(dataclasses.replace(config, amp="bf16"), tmp_path, objective)
    model = objective.loop.model
    model[1].register_forward_hook(lambda layer, inputs, outputs: seen.append((layer.training, outputs.dtype)))
    tracker = Tracker(tmp_path)
    objective.loop.run(objective, tracker)
    tracker.close()
    assert set(seen) == {(True, torch.bfloat16)}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    exact = Objective()
    _train(config, tmp_path / "exact", exact)
    differences = [
        float((ours - theirs).abs().max()) for ours, theirs in zip(objective.losses, exact.losses, strict=True)
    ]
    assert 0 < max(differences) < 0.1


def test_compiled_training_is_training(config, tmp_path):
    plain, compiled = Objective(), Objective()
    _train(config, tmp_path / "plain", plain)
    _train(dataclasses.replace(config, compile=True), tmp_path / "compiled", compiled)
    for ours, theirs in zip(compiled.losses, plain.losses, strict=True):
        torch.testing.assert_close(ours, theirs)
    for ours, theirs in zip(compiled.loop.model.parameters(), plain.loop.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_machine_that_cannot_compile_is_told_so(config, tmp_path, monkeypatch):
    def refuse(*arguments, **keywords):
        raise RuntimeError("no compiler here")

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compile_(model, backend=refuse))
    with pytest.raises(UserError, match=r"^compile=true: torch cannot compile here \(.*no compiler here.*use compile="):
        _train(dataclasses.replace(config, compile=True), tmp_path, Objective())


def test_reconditions_every_so_many_steps(config, tmp_path, monkeypatch):
    """Counted over epochs, so that a resumed run does it at the same steps."""
    seen = []
    objective = Objective()
    monkeypatch.setattr(loop, "_RECONDITION_STEPS", 4)
    monkeypatch.setattr(loop, "recondition", lambda model: seen.append(len(objective.losses)))
    _train(config, tmp_path, objective)
    assert seen == [4, 8]
