import pytest
from omegaconf import OmegaConf

from lipnet.cli.sweeps import sharing
from lipnet.cli.sweeps.sharing import share

BASIC = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}
JOBLIB = {"_target_": "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"}
LOCAL = {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher", "cpus_per_task": None}
SLURM = {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher", "cpus_per_task": 8}


@pytest.mark.parametrize(
    ("launcher", "jobs", "threads"),
    [
        (BASIC, 9, None),  # one after the other: each has the whole machine
        (JOBLIB | {"n_jobs": 4}, 9, 4), (JOBLIB | {"n_jobs": 4}, 2, 8), (JOBLIB | {"n_jobs": 1}, 9, None),
        (JOBLIB | {"n_jobs": -1}, 99, 1), (JOBLIB | {"n_jobs": -9}, 99, 2), (JOBLIB | {"n_jobs": 64}, 99, 1),
        (LOCAL, 4, 4), (LOCAL, 1, None), (LOCAL | {"cpus_per_task": 3}, 4, 3),
        (SLURM, 9, 8),  # each has its own
    ],
)  # fmt: skip
def test_the_cores_are_shared(make_config, monkeypatch, launcher, jobs, threads):
    monkeypatch.setattr(sharing, "available_cores", lambda: 16)
    shared = share(make_config(), OmegaConf.create(launcher), jobs)
    assert shared.threads == threads
    parallel = launcher is not BASIC and launcher is not SLURM and launcher.get("n_jobs") != 1 and jobs > 1
    assert shared.progress == ("off" if parallel else "auto")


def test_what_was_asked_for_stands(make_config):
    asked = make_config("threads=5", "progress=on")
    assert share(asked, OmegaConf.create(JOBLIB | {"n_jobs": 4}), 9) == asked
