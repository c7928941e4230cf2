"""Checkpoints that load, but are not what a run wrote: one message, and the run directory stays as it was."""

import shutil

import pytest
import torch
from launching import finished_run, launch

from lipnet.data.images import load_splits
from lipnet.errors import UserError
from lipnet.runs import checkpoint
from lipnet.runs.load import load_run, new_model
from lipnet.training.loop import Loop


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory)


def _first(content):
    return next(name for name, tensor in content["model"].items() if tensor.is_floating_point())


EVERY = {  # refused wherever the checkpoint is read
    "no model": (lambda content: content.pop("model"), "its 'model' is missing or no dict"),
    "NaN": (lambda content: content["model"][_first(content)].view(-1)[0].fill_(float("nan")), "holds NaN or infinity"),
    "a layer missing": (lambda content: content["model"].pop(_first(content)), "do not fit its configuration"),
    "no configuration": (lambda content: content.pop("config"), "its 'config' is missing or no dict"),
    "another width": (lambda content: content["config"]["model"].update(channels=[8, 8]), "model.channels"),
    "the environment": (lambda content: content["config"].update(seed="${oc.env:HOME}"), "no interpolations"),
    "a target": (
        lambda content: content["config"]["model"].update(_target_="os.system"),
        "model._target_: no such key",
    ),
    "a climbing name": (lambda content: content["config"].update(model={"name": "../../x"}), "model=../../x: no such"),
    "a list for a name": (
        lambda content: content["config"].update(model={"name": ["fc"]}),
        "model=[fc]: no such option",
    ),
    "a tensor for a seed": (lambda content: content["config"].update(seed=torch.ones(1)), "cannot be read ("),
    "progress that is a list": (lambda content: content.update(progress=[1]), "'progress' is missing or no dict"),
    "an epoch of text": (lambda content: content["progress"].update(epoch="3"), "epoch"),
}
TRAINING = {  # refused where training continues
    "no optimizer": (lambda content: content.pop("optimizer"), "its 'optimizer' is missing or no dict"),
    "another optimizer": (lambda content: content.update(optimizer={}), "its state does not fit this run"),
    "random state": (lambda content: content.update(rng=torch.zeros(3)), "its state does not fit this run"),
    "an update that is a list": (lambda content: content.update(update=[1]), "its 'update' is missing or no dict"),
    "another kind's update": (lambda content: content.update(update={"mean": 1}), "its state does not fit this run"),
    "unknown progress": (lambda content: content["progress"].update(step=1), "its state does not fit this run"),
    "negative progress": (lambda content: content["progress"].update(batch=-1), "no progress of a run"),
}


@pytest.mark.parametrize("case", ["NaN", "another width", "no optimizer"])
def test_training_does_not_continue_from_it(run, tmp_path, case):
    damage, message = (EVERY | TRAINING)[case]
    stopped = shutil.copytree(run, tmp_path / "stopped")
    (stopped / "results.json").unlink()
    _damage(stopped / "checkpoints" / "last.pt", damage)
    names = ("metrics.csv", "checkpoints/best.pt", "checkpoints/last.pt")
    kept = {name: (stopped / name).read_bytes() for name in names}
    outcome = launch(f"resume={stopped}")
    assert outcome.code == 1
    assert "Traceback" not in outcome.output
    assert message in outcome.output.rpartition("lipnet: ")[2]
    assert {name: (stopped / name).read_bytes() for name in names} == kept


def _damage(path, damage):
    content = checkpoint.load(path)
    damage(content)
    torch.save(content, path)


@pytest.mark.parametrize("case", [*TRAINING, "no model", "NaN", "progress that is a list"])
def test_a_loop_is_not_restored_from_it(run, tmp_path, case):
    damage, message = (EVERY | TRAINING)[case]
    shutil.copytree(run / "checkpoints", tmp_path / "checkpoints")
    config = load_run(run).config
    _damage(tmp_path / "checkpoints" / "last.pt", damage)
    loop = Loop(new_model(config), load_splits(config.dataset, config.seed).train, config, tmp_path, {})
    with pytest.raises(UserError) as error:
        loop.restore()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", [case for case in EVERY if case != "another width"])
def test_it_is_no_network(run, tmp_path, case):
    damage, message = EVERY[case]
    content = checkpoint.load(run / "checkpoints" / "best.pt")
    damage(content)
    (tmp_path / "checkpoints").mkdir()
    torch.save(content, tmp_path / "checkpoints" / "best.pt")
    with pytest.raises(UserError) as error:
        load_run(tmp_path)
    assert message in str(error.value)


def test_an_architecture_that_is_not_the_weights_is_no_network(run, tmp_path):
    content = checkpoint.load(run / "checkpoints" / "best.pt")
    content["config"]["model"]["channels"] = [8, 8]
    checkpoint.save(tmp_path / "checkpoints" / "best.pt", content)
    with pytest.raises(UserError, match="its weights do not fit its configuration"):
        load_run(tmp_path)
