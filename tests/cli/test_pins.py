"""Runs of a version with other defaults: continued, repeated, evaluated and exported with their own."""

import copy
import dataclasses
import shutil
from pathlib import Path

import pytest
import yaml
from launching import launch, results
from omegaconf import OmegaConf

from lipnet.cli.arguments import prepare
from lipnet.runs.recorded import recorded_config

pytestmark = pytest.mark.usefixtures("without_figures")
TYPED = ["task=wasserstein", "dataset=cone", "epochs=1", "dataset.steps_per_epoch=2", "threads=1"]
SMALL = ["dataset.selection_samples=20", "dataset.evaluation_samples=40", "estimate.transport_samples=10"]
# What an earlier version had by default for this pair.
DEFAULTS = ["activation=maxmin", "scheduler=onecycle", "model.hidden=[6,6]", "optimizer.lr=0.003", "batch_size=64"]


def as_of_an_earlier_version(directory: Path) -> None:
    """What the run got from ``DEFAULTS`` was not typed."""
    (directory / ".hydra" / "overrides.yaml").write_text(OmegaConf.to_yaml([*TYPED, *SMALL]))


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("earlier") / "run"
    outcome = launch(*TYPED, *SMALL, *DEFAULTS, f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.output
    as_of_an_earlier_version(directory)
    return directory


@pytest.fixture
def run(original, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(original, "run")
    return Path("run")


def same_but(first: Path, second: Path, *keys: str) -> bool:
    configs = [dataclasses.asdict(recorded_config(directory)) for directory in (first, second)]
    return [key for key in configs[0] if configs[0][key] != configs[1][key]] == list(keys)


def test_it_is_evaluated(run):
    outcome = launch("task=evaluate", "run=run", "hydra.run.dir=again")
    assert outcome.code == 0, outcome.output
    assert results(Path("again"))["wasserstein"]["estimate"] == results(run)["wasserstein"]["estimate"]


def test_it_is_exported(run):
    outcome = launch("task=export", "task.onnx=false", "run=run", "hydra.run.dir=exported")
    assert outcome.code == 0, outcome.output


def test_it_is_repeated(run):
    outcome = launch("rerun=run", "hydra.run.dir=again")
    assert outcome.code == 0, outcome.output
    assert same_but(run, Path("again"), "rerun")
    assert results(Path("again"))["wasserstein"]["estimate"] == results(run)["wasserstein"]["estimate"]


def test_it_is_continued(run):
    (run / "results.json").unlink()
    before = recorded_config(run)
    outcome = launch("resume=run")
    assert outcome.code == 0, outcome.output
    assert dataclasses.replace(recorded_config(run), resume=None) == before
    assert launch("task=evaluate", "run=run", "hydra.run.dir=again").code == 0


PINS = ["activation=maxmin", "scheduler=onecycle", "model.hidden=[6,6]", "optimizer.lr=0.003", "batch_size=64"]
# typed beside rerun=run: which of the values by default are then the run's own
RERUN = {
    "": PINS,
    "seed=3": PINS,
    "batch_size=8": PINS[:-1],
    "batch_size=256": PINS[:-1],  # today's default
    "model=cones": [*PINS[:2], *PINS[3:]],
    "activation=abs": PINS[1:],
    "optimizer=sgd": [*PINS[:3], PINS[4]],
    "experiment=wasserstein/cone": [],
}


@pytest.mark.parametrize("typed", RERUN)
def test_what_is_typed_comes_on_top(run, typed):
    seen = prepare(["rerun=run", *typed.split()])
    assert sorted(set(seen) & {*PINS}) == sorted(RERUN[typed])
    assert [text for text in seen if text not in PINS] == [*TYPED, *SMALL, "rerun=run", *typed.split()]


def test_what_equals_the_run_s_own_is_no_change(run):
    assert "batch_size=64" in prepare(["resume=run", "batch_size=64"])


# key, value of an earlier version -> the override that Hydra reads it back from
VALUES = {
    "optimizer.lr": (0.5, "optimizer.lr=0.5"),
    "batch_size": (7, "batch_size=7"),
    "compile": (True, "compile=true"),
    "threads": (2, None),  # changes no result
    "epochs": (9, None),  # typed
    "device": ("cpu", None),
    "dataset.root": ("elsewhere", None),
    "certify_dtype": ("float32", "certify_dtype='float32'"),
    "attack.examples": (5, "attack.examples=5"),
    "attack.names": (["pgd", "ddn"], "attack.names=['pgd','ddn']"),
    "eval_radii": (["0.50", "36/255"], "eval_radii=['0.50','36/255']"),
    "loss.epsilon": ("${dataset.epsilon}", None),
    "loss.temperature": (0.125, "loss.temperature=0.125"),
    "dataset.mean": ([0.5], "dataset.mean=[0.5]"),
    "conv.name": ("rko", "conv=rko"),
    "task.select_by": ("loss", "task.select_by='loss'"),
}
IMAGES = ["loss=cross_entropy", "epochs=3"]


@pytest.fixture(scope="module")
def recorded() -> dict:
    """Today's configuration of ``IMAGES``."""
    from hydra import compose, initialize_config_dir

    from lipnet.options.folder import config_dir

    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        content = OmegaConf.to_container(compose("config", overrides=IMAGES))
    assert isinstance(content, dict)
    return content


def test_a_run_from_before_images_were_centred_stays_as_it_was(tmp_path, monkeypatch):
    """Whatever reads a run's overrides again: its network subtracts nothing."""
    monkeypatch.chdir(tmp_path)
    folder = Path("run", ".hydra")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"dataset": {"name": "cifar10", "mean": [0.0] * 3}, "task": {"name": "robustness"}})
    )
    (folder / "overrides.yaml").write_text(yaml.safe_dump(["dataset=cifar10"]))
    for command in (["rerun=run"], ["task=evaluate", "run=run"], ["task=export", "run=run"], ["resume=run"]):
        assert "dataset.mean=[0,0,0]" in prepare(command)


@pytest.mark.parametrize("key", VALUES)
def test_every_kind_of_value_is_read_back(recorded, tmp_path, monkeypatch, key):
    value, pin = VALUES[key]
    content = copy.deepcopy(recorded)
    group, _, name = key.rpartition(".")
    (content[group] if group else content)[name] = value
    monkeypatch.chdir(tmp_path)
    folder = Path("run", ".hydra")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(IMAGES))
    assert prepare(["rerun=run"]) == [*IMAGES, *([pin] if pin else []), "rerun=run"]
