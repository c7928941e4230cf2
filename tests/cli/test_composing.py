"""How often a command composes its configuration; and that what it composes is what Hydra would."""

import contextlib
import copy
import functools
import pickle
import secrets
from collections import Counter

import pytest
from composed_before import files_kept
from hydra._internal import config_loader_impl as loading
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from launching import launch
from omegaconf import OmegaConf

from lipnet import app
from lipnet.cli import composing
from lipnet.cli.composing import composing_once, hydra_ready, try_composing

SAVED = {
    "run": ["model=fc", "epochs=3"],
    "swept": ["sweep=methods", "conv=rko", "seed=3"],
}
# line -> how many configurations of files it makes: one, but for options that a sweep or a mistake varies, for what
# Hydra composes of a sweep besides its jobs, and for a run that was of another task.
LINES = {
    "": 1,
    "conv=rko seed=1": 1,
    "experiment=quick/mnist_small epochs=3": 1,
    "resume=run": 1,
    "rerun=swept seed=1": 1,
    "task=evaluate run=run": 2,
    "-m seed=0,1,2,3": 1,
    "-m experiment=quick/mnist_small seed=0,1": 1,
    "-m conv=bcop,rko": 2,
    "-m conv=rko,plain": 3,  # and the defaults, of which Hydra makes multirun.yaml
    "sweep=methods seed=0": 7,
    "--cfg all epochs=3": 1,
    "epoch=3 attack.steps=-1 seed=x optimizer.lr=none": 1,
    "epochs=-1": 1,
    "conv=bcp epochs=3": 1,
    "-m conv=bcp,rko epoch=3,4": 1,
}


@pytest.fixture(scope="module", autouse=True)
def composed_before():
    """Here each command composes by itself."""
    with files_kept():
        yield


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """An empty folder with saved runs; programs end where a run would start, and every launch has the same name."""
    for folder in (tmp_path, tmp_path / "before"):
        for name, overrides in SAVED.items():
            saved = folder / name / ".hydra" / "overrides.yaml"
            saved.parent.mkdir(parents=True)
            saved.write_text(OmegaConf.to_yaml(OmegaConf.create(overrides)))
        (folder / "run" / ".hydra" / "config.yaml").write_text("model: {name: fc}\nepochs: 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "_run", lambda config, composed, hydra_config: None)
    monkeypatch.setattr(secrets, "token_hex", lambda size: "name")


@pytest.fixture
def counts(monkeypatch):
    """How often Hydra has looked for files, and how often it has merged them."""
    found = Counter()

    def counted(owner, name):
        step = getattr(owner, name)

        @functools.wraps(step)
        def count(*args, **kwargs):
            found[name] += 1
            return step(*args, **kwargs)

        monkeypatch.setattr(owner, name, count)

    counted(loading, "create_defaults_list")
    counted(ConfigLoaderImpl, "_compose_config_from_defaults_list")
    return found


def merged(counts):
    return counts["_compose_config_from_defaults_list"]


def listed(counts):
    return counts["create_defaults_list"]


@pytest.mark.parametrize("line", LINES)
def test_a_command_composes_once(line, counts):
    launch(*line.split())
    assert merged(counts) == LINES[line]
    assert listed(counts) <= LINES[line] + 1  # a default that is named, too, makes a list of its own


@contextlib.contextmanager
def as_before(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(composing, "_takes_known_steps", lambda: False)
        yield


def left(folder):
    """All that Hydra leaves of a command."""
    paths = [*folder.rglob(".hydra/*.yaml"), *folder.rglob("multirun.yaml")]
    return {
        str(path.relative_to(folder)): path.read_text().replace(str(folder), "FOLDER")
        for path in paths
        if "before" not in str(path.relative_to(folder))
    }


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("experiment=quick/mnist_small epochs=3 hydra.run.dir=a hydra.job.chdir=true +hydra.job.env_copy=[HOME]", 3),
        ("-m conv=rko,bcop model.channels=[4,4] hydra.sweep.dir=a", 7),
        ("sweep=methods conv=plain seed=0,1 epochs=2", 7),
        ("--cfg all conv=rko epochs=3", 0),
        ("--info config conv=rko", 0),
        ("epoch=3 conv=bcp", 0),
    ],
)
def test_hydra_writes_and_says_the_same(line, files, tmp_path, monkeypatch):
    once = launch(*line.split())
    monkeypatch.chdir(tmp_path / "before")
    with as_before(monkeypatch):
        each_time = launch(*line.split())
    assert once.code == each_time.code
    if not files:
        assert once.output.replace(str(tmp_path), "") == each_time.output.replace(str(tmp_path / "before"), "")
    found = left(tmp_path)
    assert found == left(tmp_path / "before")
    assert len(found) >= files


@pytest.mark.parametrize("step", composing._STEPS)
@pytest.mark.parametrize("other", [None, lambda *anything: None], ids=["gone", "other"])
def test_the_steps_of_another_hydra_are_not_known(step, other, monkeypatch):
    owner, _, name = step.rpartition(".")
    owner = getattr(loading, owner) if owner else loading
    with monkeypatch.context() as patch:
        if other is None:
            patch.delattr(owner, name)
        else:
            patch.setattr(owner, name, other)
        assert not composing._takes_known_steps()


def test_another_hydra_composes_each_time(monkeypatch, counts):
    create = loading.create_defaults_list
    monkeypatch.setattr(loading, "create_defaults_list", lambda *anything, **named: create(*anything, **named))
    assert launch("epochs=3").code == 0
    assert merged(counts) == listed(counts) == 4


LIKE_HYDRA = [
    [],
    ["seed=1", "epochs=3"],
    ["epochs=3", "~task.select_by", "+hydra.job.env_set.A=b"],
    ["conv=rko", "conv=bcop"],
    ["model=large", "conv=rko"],
    ["conv={name:rko}"],
    ["~experiment"],
    ["hydra/job_logging=disabled"],
    ["+hydra/job_logging@logging=disabled"],
]


def test_it_composes_what_hydra_does(monkeypatch):
    """Each after the others, of which nothing may be left; and again, when all of it has been read."""
    with composing_once():
        for _ in range(2):
            with hydra_ready():
                once = [try_composing(overrides, []) for overrides in LIKE_HYDRA]
    with as_before(monkeypatch), hydra_ready():
        each_time = [try_composing(overrides, []) for overrides in LIKE_HYDRA]
    for overrides, found, expected in zip(LIKE_HYDRA, once, each_time, strict=True):
        assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected), overrides
        assert OmegaConf.is_struct(found)
        assert OmegaConf.get_type(found.hydra) is OmegaConf.get_type(expected.hydra)


def test_what_is_composed_can_be_changed():
    """Hydra writes into what it has composed."""
    with composing_once(), hydra_ready():
        first = try_composing(["epochs=3"], [])
        first.epochs = first.optimizer.lr = first.hydra.job.num = 7
        second = try_composing(["epochs=4"], [])
    assert (second.epochs, second.optimizer.lr) == (4, 0.003)
    assert OmegaConf.is_missing(second.hydra.job, "num")


def test_the_store_is_not_copied_but_what_is_taken_out_of_it():
    """A copy of the store for each folder that is looked at took nine seconds of ``--help``."""
    store, path = ConfigStore.instance(), "experiment/paper/mnist_small_rko.yaml"
    assert copy.deepcopy({"store": store})["store"] is store
    store.load(path).node.defaults.append("changed")
    assert "changed" not in store.load(path).node.defaults


def test_mistakes_in_options_are_found_each_time():
    with composing_once(), hydra_ready():
        for _ in range(2):
            problems = []
            assert try_composing(["conv=bcp"], problems) is None
            assert "Could not find 'conv/bcp'" in problems[0]


def load(overrides, run_mode):
    return GlobalHydra.instance().hydra.config_loader.load_configuration("config", overrides, run_mode)


def test_an_option_left_open_is_missing_only_where_hydra_says_so(tmp_path):
    """Hydra leaves it out of what it composes of a sweep, and a run must choose it."""
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "it.yaml").write_text("defaults:\n  - /usual: ???\n")
    with hydra_ready(str(tmp_path / "mine")):
        for _ in range(2):
            assert load(["experiment=it"], RunMode.MULTIRUN).seed == 0
            with pytest.raises(ConfigCompositionException, match="must specify"):
                load(["experiment=it"], RunMode.RUN)


def test_folders_that_are_searched_are_told_apart(tmp_path):
    """By an override, which a job may have that another has not; nothing of one is left for the other."""
    for name, seed in (("one", 1), ("two", 2)):
        (tmp_path / name / "experiment").mkdir(parents=True)
        (tmp_path / name / "experiment" / "it.yaml").write_text(f"# @package _global_\nseed: {seed}\n")
    with composing_once(), hydra_ready():
        for name, seed in (("one", 1), ("two", 2), ("one", 1)):
            overrides = [f"hydra.searchpath=[file://{tmp_path / name}]", "experiment=it"]
            assert load(overrides, RunMode.RUN).seed == seed
        with pytest.raises(ConfigCompositionException, match="experiment/it"):
            load(["experiment=it"], RunMode.RUN)


def test_a_file_that_changes_counts_for_the_next_command(tmp_path):
    file = tmp_path / "mine" / "experiment" / "it.yaml"
    file.parent.mkdir(parents=True)

    def seed_of():
        with hydra_ready(str(tmp_path / "mine")):
            return try_composing(["experiment=it"], []).seed

    file.write_text("# @package _global_\nseed: 1\n")
    with composing_once():
        assert seed_of() == 1
        file.write_text("# @package _global_\nseed: 2\n")
        assert seed_of() == 1
    assert seed_of() == 2


def test_jobs_in_other_processes_are_sent_what_was_read(counts):
    with composing_once(), hydra_ready():
        here = load(["conv=rko", "seed=1"], RunMode.RUN)
        loader = pickle.loads(pickle.dumps(GlobalHydra.instance().hydra.config_loader))
    counts.clear()
    assert loader.load_configuration("config", ["conv=rko", "seed=1"], RunMode.RUN) == here
    assert not counts
