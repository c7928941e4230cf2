import dataclasses
import re
import shutil

import pytest
from omegaconf import OmegaConf

from lipnet.options import defaults
from lipnet.runs.identity import NO_RESULT_KEYS, digest


def test_a_digest_does_not_depend_on_how_a_value_was_typed(make_config):
    assert digest(make_config("optimizer.lr=1e-2")) == digest(make_config("optimizer.lr=0.01"))
    assert digest(make_config()) == digest(make_config("conv=bcop", "seed=0"))


@pytest.mark.parametrize("override", ["seed=1", "conv=rko", "optimizer.lr=0.5", "attack.steps=3", "eval_radii=[0.50]"])
def test_a_digest_tells_results_apart(make_config, override):
    assert digest(make_config(override)) != digest(make_config())


def test_a_digest_leaves_out_what_changes_no_result(make_config):
    others = {
        "resume": "x", "rerun": "x", "progress": "off", "device": "cpu", "threads": "1", "dataset.root": "x",
        "dataset.download": "false", "objective": "clean_accuracy", "fail_fast": "true",
        "profile": "true", "bell": "true", "plugins": "[x]",
    }  # fmt: skip
    of_own_data = {"dataset.file": "x", "dataset.labels": "x"}
    assert {*others, *of_own_data, "dataset.cache"} == set(NO_RESULT_KEYS)
    overrides = [f"{key}={value}" for key, value in of_own_data.items()]
    assert digest(make_config("dataset=arrays", *overrides)) == digest(make_config("dataset=arrays"))
    assert digest(make_config("dataset=image_folder", "dataset.cache=x")) == digest(make_config("dataset=image_folder"))
    overrides = [f"{key}={value}" for key, value in others.items()]
    assert digest(make_config("dataset=mnist", *overrides)) == digest(make_config("dataset=mnist"))


@pytest.fixture
def later_version(tmp_path, monkeypatch):
    """``later_version("config.yaml", "new: 3")``: conf/ with a line more, as a version to come may have it."""

    def add(file, line):
        shutil.copytree(defaults.config_dir(), tmp_path / "conf")
        with open(tmp_path / "conf" / file, "a") as content:
            content.write(f"\n{line}\n")
        monkeypatch.setattr(defaults, "config_dir", lambda: tmp_path / "conf")
        defaults._content.cache_clear()

    yield add
    monkeypatch.undo()
    defaults._content.cache_clear()


CHOSEN = (
    "conv=rko", "dataset=mnist", "loss=margin", "dataset.epsilon=0.7", "optimizer.lr=0.5", "eval_radii=[0.50]",
    "epochs=3",
)  # fmt: skip
NEW_KEYS = {
    "of the program": ("config.yaml", "new: 3", "", 3),
    "of an option": ("conv/rko.yaml", "new: [0.5, a]", "conv", [0.5, "a"]),
    "that follows another": ("loss/margin.yaml", "new: ${dataset.epsilon}", "loss", 0.7),
    "that follows one that may be missing": ("config.yaml", "new: ${oc.select:dataset.nothing,null}", "", None),
    "of a number's other spelling": ("conv/rko.yaml", "new: 1.0", "conv", 1),
}


@pytest.mark.parametrize("what", NEW_KEYS)
def test_a_key_that_comes_later_changes_no_digest_by_its_default(make_config, later_version, what):
    file, line, group, value = NEW_KEYS[what]
    config = dataclasses.asdict(make_config(*CHOSEN))
    before = digest(OmegaConf.create(config))
    later_version(file, line)
    (config[group] if group else config)["new"] = value
    assert digest(OmegaConf.create(config)) == before
    (config[group] if group else config)["new"] = "another"
    assert digest(OmegaConf.create(config)) != before


@pytest.mark.parametrize("wrong", [{"conv": {}}, {"conv": 3}, {"conv": None}, {"conv": {"name": ["bcop"]}}, {"x": 1}])
def test_a_configuration_with_mistakes_has_a_digest(make_config, wrong):
    config = dataclasses.asdict(make_config()) | wrong
    assert re.fullmatch("[0-9a-f]{8}", digest(OmegaConf.create(config)))
