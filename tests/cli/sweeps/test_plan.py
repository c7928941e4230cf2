import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from lipnet.cli.sweeps.plan import Plan, plan_sweep
from lipnet.options.folder import config_dir

BASIC = {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper", "params": None}
OPTUNA = {"_target_": "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper", "n_trials": 20, "params": None}


def plan(sweeper, *overrides) -> Plan:
    typed = OverridesParser.create().parse_overrides(list(overrides))
    return plan_sweep(typed, OmegaConf.create(sweeper), lambda override: list(override.sweep_string_iterator()))


@pytest.mark.parametrize(
    ("overrides", "name", "keys", "jobs"),
    [
        (["seed=0,1,2"], "over-seed", ["seed"], 3),
        (["epochs=3", "conv=bcop,rko", "seed=range(0,5)"], "epochs-3_over-conv-seed", ["conv", "seed"], 10),
        (["seed=1,2", "seed=1,2,3"], "over-seed", ["seed"], 3),
        (["model.channels=[4,4],[8,8]"], "over-channels", ["model.channels"], 2),
        (["epochs=3", "experiment=quick/mnist_small"], "quick-mnist_small_epochs-3", [], 1),
    ],
)
def test_a_grid(overrides, name, keys, jobs):
    found = plan(BASIC, *overrides)
    assert (found.name, found.keys, found.jobs, found.optimises) == (name, keys, jobs, False)


SELECTED = [  # of a ready-made sweep; its jobs; how the selection was called by itself
    ([], 6, "methods_over-conv-seed"),
    (["seed=7"], 2, "methods_seed-7_over-conv"),
    (["seed=1", "conv=rko"], 1, "methods_seed-1_conv-rko"),
    (["conv=rko,svcm"], 6, "methods_over-seed-conv"),
]


@pytest.mark.parametrize(("typed", "jobs", "alone"), SELECTED)
def test_whatever_is_selected_of_a_ready_made_sweep_is_in_its_directory(typed, jobs, alone):
    found = plan(BASIC | {"params": {"conv": "bcop,rko", "seed": "0,1,2"}}, *typed, "sweep=methods")
    assert (found.name, found.keys, found.jobs) == ("methods_over-conv-seed", ["conv", "seed"], jobs)
    assert found.alone[0] == alone


def test_what_else_is_typed_names_another_directory():
    found = plan(BASIC | {"params": {"conv": "bcop,rko"}}, "epochs=3", "sweep=methods", "conv=bcop", "seed=0,1")
    assert (found.name, found.keys, found.jobs) == ("methods_epochs-3_over-conv-seed", ["conv", "seed"], 2)


def test_what_is_typed_replaces_the_values_of_a_ready_made_sweep():
    found = plan(BASIC | {"params": {"conv": "bcop,rko", "seed": "0,1,2"}}, "seed=7", "sweep=methods")
    assert [override.input_line for override in found.overrides] == ["conv=bcop,rko", "seed=7", "sweep=methods"]


def test_a_selection_of_what_is_optimised_is_another_search():
    found = plan(OPTUNA | {"params": {"loss.epsilon": "interval(0.1, 1)", "seed": "0,1"}}, "seed=1", "sweep=tune")
    assert (found.name, found.keys) == ("tune_seed-1_over-epsilon", ["loss.epsilon"])


def test_an_interval_is_checked_at_its_ends():
    found = plan(OPTUNA, "optimizer.lr=tag(log, interval(1e-4, 1))", "batch_size=int(interval(16, 64))", "epochs=3")
    assert [override.input_line for override in found.overrides] == [
        "optimizer.lr=0.0001,1.0", "batch_size=16,64", "epochs=3",
    ]  # fmt: skip
    assert (found.keys, found.jobs, found.optimises) == (["optimizer.lr", "batch_size"], 20, True)


JOBS = {
    "seeds": 5, "methods": 21, "mnist": 9, "margins": 12, "learning_rates": 12,
    "paper_mnist": 60, "paper_cifar10": 60, "quick_mnist": 60, "quick_cifar10": 60,
    "paper_wasserstein": 120, "quick_wasserstein": 12, "wasserstein_benchmark": 45, "wasserstein_minfunnel": 168,
    "area": 6, "area_relu": 18, "area_tradeoff": 12, "shufflenet": 12, "private": 24,
}  # fmt: skip


def params(name):
    return OmegaConf.load(config_dir() / "sweep" / f"{name}.yaml").hydra.sweeper.params


@pytest.mark.parametrize("name", JOBS)
def test_the_jobs_of_the_ready_made_sweeps(name):
    assert plan(BASIC | {"params": params(name)}, f"sweep={name}").jobs == JOBS[name]


def test_every_ready_made_sweep_has_its_jobs_counted():
    assert JOBS.keys() | {"tune"} == {path.stem for path in (config_dir() / "sweep").glob("*.yaml")}


def test_the_tables_have_every_recipe_that_is_a_row_of_them():
    """But for fc_bjorck, which reads no convolution."""
    swept = {""}
    for name in JOBS:
        swept |= {recipe.strip() for recipe in str(params(name).get("experiment", "")).split(",")}
    folder = config_dir() / "experiment"
    recipes = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")}
    rows = {
        name
        for name in recipes
        if re.match(r"(paper/|quick/paper_)(mnist|cifar10)_(small|large)|wasserstein/|area/", name)
    }
    assert rows == swept - {""}
