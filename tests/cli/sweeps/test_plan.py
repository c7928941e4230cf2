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


def test_what_is_typed_replaces_the_values_of_a_ready_made_sweep():
    found = plan(BASIC | {"params": {"conv": "bcop,rko", "seed": "0,1,2"}}, "seed=7", "sweep=methods")
    assert (found.name, found.keys, found.jobs) == ("methods_seed-7_over-conv", ["conv"], 2)
    assert [override.input_line for override in found.overrides] == ["conv=bcop,rko", "seed=7", "sweep=methods"]


def test_an_interval_is_checked_at_its_ends():
    found = plan(OPTUNA, "optimizer.lr=tag(log, interval(1e-4, 1))", "batch_size=int(interval(16, 64))", "epochs=3")
    assert [override.input_line for override in found.overrides] == [
        "optimizer.lr=0.0001,1.0", "batch_size=16,64", "epochs=3",
    ]  # fmt: skip
    assert (found.keys, found.jobs, found.optimises) == (["optimizer.lr", "batch_size"], 20, True)


@pytest.mark.parametrize(
    ("name", "jobs"), [("seeds", 5), ("methods", 21), ("mnist", 9), ("margins", 12), ("learning_rates", 12)]
)
def test_the_jobs_of_the_ready_made_sweeps(name, jobs):
    params = OmegaConf.load(config_dir() / "sweep" / f"{name}.yaml").hydra.sweeper.params
    assert plan(BASIC | {"params": params}, f"sweep={name}").jobs == jobs
