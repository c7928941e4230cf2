import shutil
from pathlib import Path

import pytest
import torch
from launching import EPOCHS, finished_run, results, table
from torch import nn

import lipnet
from lipnet.data.images import load_splits
from lipnet.errors import UserError
from lipnet.runs import checkpoint
from lipnet.runs.load import load_run, new_model, refuse_changes


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return finished_run(tmp_path_factory)


@pytest.fixture
def copied(run, tmp_path) -> Path:
    shutil.copytree(run / "checkpoints", tmp_path / "checkpoints")
    return tmp_path


def _logits(model, config):
    test = load_splits(config.dataset, config.seed).test
    with torch.no_grad():
        return test.indices, model(test.pixels())


def test_a_loaded_run_makes_the_predictions_of_its_certificates(run):
    loaded = load_run(run)
    indices, logits = _logits(loaded.model, loaded.config)
    rows = table(run / "certificates.csv")
    assert [int(row["index"]) for row in rows] == indices.tolist()
    assert [int(row["prediction"]) for row in rows] == logits.argmax(1).tolist()


def test_a_loaded_run_knows_itself(run):
    loaded = load_run(str(run))
    assert not loaded.model.training
    assert not any(module.training for module in loaded.model.modules())
    assert loaded.config.optimizer.lr == 0.03
    assert loaded.choices == results(run)["choices"]
    assert loaded.epoch == results(run)["best_epoch"]
    assert load_run(run, "last").epoch == EPOCHS


def test_last_and_best_are_their_checkpoints(run):
    for which in ("last", "best"):
        saved = torch.load(run / "checkpoints" / f"{which}.pt", weights_only=True)["model"]
        state = load_run(run, which).model.state_dict()
        assert set(state) == set(saved)
        assert all(torch.equal(value, saved[name]) for name, value in state.items())


def test_the_package_exports_a_run_as_plain_torch(run):
    loaded = lipnet.load_run(run)
    plain = lipnet.to_plain(loaded.model)
    kinds = {type(module) for module in plain.modules() if list(module.parameters(recurse=False))}
    assert kinds == {nn.Conv2d, nn.Linear}
    torch.testing.assert_close(_logits(plain, loaded.config)[1], _logits(loaded.model, loaded.config)[1])


def test_the_package_names_what_it_exports():
    assert {"load_run", "to_plain"} <= set(lipnet.__all__)
    assert all(getattr(lipnet, name) is not None for name in lipnet.__all__)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = lipnet.nothing_of_the_kind


def _rewrite(directory, change):
    path = directory / "checkpoints" / "best.pt"
    content = checkpoint.load(path)
    change(content)
    checkpoint.save(path, content)


BROKEN = {
    "no directory": (lambda copied: shutil.rmtree(copied / "checkpoints"), "best.pt: this checkpoint does not exist"),
    "no checkpoint": (lambda copied: (copied / "checkpoints" / "best.pt").unlink(), "does not exist"),
    "corrupt": (lambda copied: (copied / "checkpoints" / "best.pt").write_bytes(b"PK\x03\x04junk"), "not a readable"),
    "other widths": (
        lambda copied: _rewrite(copied, lambda content: content["config"]["model"].update(hidden=[16])),
        "best.pt: its weights do not fit its configuration",
    ),
    "a weight is missing": (
        lambda copied: _rewrite(copied, lambda content: content["model"].popitem()),
        "best.pt: its weights do not fit its configuration",
    ),
    "an unknown option": (
        lambda copied: _rewrite(copied, lambda content: content["config"]["model"].update(name="tiny")),
        "model=tiny: no such option",
    ),
    "an unknown key": (
        lambda copied: _rewrite(copied, lambda content: content["config"].update(batch_sise=1)),
        "batch_sise: no such key",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_runs_are_one_message(copied, case):
    breaks, message = BROKEN[case]
    breaks(copied)
    with pytest.raises(UserError) as error:
        load_run(copied)
    assert message in str(error.value)


def test_there_is_no_other_checkpoint(run):
    with pytest.raises(UserError, match=r"middle\.pt: this checkpoint does not exist"):
        load_run(run, "middle")


def test_a_run_from_before_a_key_existed_has_its_default(copied):
    path = copied / "checkpoints" / "best.pt"
    saved = torch.load(path, weights_only=True)
    del saved["config"]["amp"], saved["config"]["compile"]
    checkpoint.save(path, saved)
    config = load_run(copied).config
    assert (config.amp, config.compile) == ("none", False)
    assert config.optimizer.lr == 0.03


def test_a_run_from_before_a_key_of_a_group_existed_has_its_default(copied):
    def forget(content):
        del content["config"]["model"]["head"], content["config"]["attack"]["names"]
        del content["config"]["attack"]["ddn_steps"], content["config"]["loss"]["epsilon"]

    _rewrite(copied, forget)
    config = load_run(copied).config
    assert (config.model.head, config.model.hidden) == ("same", [8])
    assert (config.attack.names, config.attack.ddn_steps, config.attack.steps) == (["fgsm", "pgd", "ddn"], 20, 2)
    assert config.loss.epsilon == config.dataset.epsilon


def test_new_models_are_fresh(run):
    config = load_run(run).config
    torch.manual_seed(0)
    first = new_model(config).state_dict()
    torch.manual_seed(1)
    second = new_model(config).state_dict()
    assert set(first) == set(second) == set(load_run(run).model.state_dict())
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_changes_are_refused_together(make_config):
    saved = make_config()
    given = make_config("epochs=2", "optimizer.lr=0.5", "eval_radii=[0.25]", "device=cpu", "model.hidden=[8]")
    refuse_changes(saved, saved, (), "resume=DIR")
    with pytest.raises(UserError) as error:
        refuse_changes(saved, given, ("eval_radii", "device"), "resume=DIR")
    assert sorted(error.value.problems) == [
        "epochs: resume=DIR takes this from the run, which has 40, not 2.",
        "model.hidden: resume=DIR takes this from the run, which has [100], not [8].",
        "optimizer.lr: resume=DIR takes this from the run, which has 0.003, not 0.5.",
    ]


def test_a_whole_group_may_be_allowed(make_config):
    refuse_changes(make_config(), make_config("task=evaluate", "run=x"), ("task", "run"), "task=evaluate")
    with pytest.raises(UserError, match=r"scheduler\.name"):
        refuse_changes(make_config(), make_config("scheduler=constant"), ("task",), "task=evaluate")
