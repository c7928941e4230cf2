"""Sweeps from their command to their closing lines, in this process."""

import os
import signal

import pytest
import yaml
from launching import TINY, launch, outcome_of, results

from lipnet.cli.arguments import prepare
from lipnet.tasks.robustness import task as robustness

pytestmark = pytest.mark.usefixtures("without_figures")
SMALL = [override for override in TINY if not override.startswith(("epochs", "attack", "singular"))]
SMALL += ["epochs=2", "attack.names=[]", "singular_values_every=0"]


def jobs(folder):
    return {path.name.rpartition("_")[0]: path for path in folder.iterdir() if path.is_dir()}


def fail_for_seed(monkeypatch, seed):
    original = robustness.Robustness.batches

    def fail(self):
        if self.config.seed == seed:
            raise RuntimeError("out of\nmemory")
        return original(self)

    monkeypatch.setattr(robustness.Robustness, "batches", fail)


def stop_for_seed(monkeypatch, seed):
    """Ctrl-C during the validation of the second epoch: there is a checkpoint of the first."""
    original = robustness.Robustness.validate

    def stop(self, model, epoch):
        if self.config.seed == seed and epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, model, epoch)

    monkeypatch.setattr(robustness.Robustness, "validate", stop)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A sweep with a job that is completed, one that fails, one that is stopped and one never reached; then again."""
    folder = tmp_path_factory.mktemp("sweep")
    command = ("-m", *SMALL, "seed=0,1,2,3", f"hydra.sweep.dir={folder}")
    with pytest.MonkeyPatch.context() as monkeypatch:
        fail_for_seed(monkeypatch, 1)
        stop_for_seed(monkeypatch, 2)
        first = launch(*command)
    status = {name: results(path) if (path / "results.json").exists() else {} for name, path in jobs(folder).items()}
    return {"folder": folder, "first": first, "status": status, "second": launch(*command), "third": launch(*command)}


def test_an_interrupted_sweep_says_what_became_of_its_jobs(interrupted):
    assert interrupted["first"].code == 130
    lines = interrupted["first"].output.splitlines()
    folder = interrupted["folder"]
    assert f"sweep of 4 jobs in {folder}: 1 completed, 1 failed, 1 stopped, 1 not run to an end" in lines
    assert f"  failed: {jobs(folder)['seed-1']}: RuntimeError: out of memory" in lines


def test_a_failed_job_leaves_its_reason(interrupted):
    status = interrupted["status"]
    assert status["seed-1"]["status"] == "failed"
    assert status["seed-1"]["error"] == "RuntimeError: out of\nmemory"
    assert status["seed-0"]["status"] == "completed"
    assert status["seed-2"] == {}
    assert "seed-3" not in status


def test_a_sweep_launched_again_does_what_is_left(interrupted):
    second, third = interrupted["second"], interrupted["third"]
    assert second.code == 0, second.output
    start = f"sweep of 4 jobs in {interrupted['folder']}: "
    assert (
        f"{start}1 completed before and skipped, 1 completed (it was failed), 1 completed (it was unfinished), "
        "1 completed\n"
    ) in second.output
    assert "job 3/4: seed-2_" in second.output
    assert "continuing after epoch 2" in second.output
    assert third.code == 0
    assert f"{start}4 completed before and skipped\n" in third.output
    assert {results(path)["status"] for path in jobs(interrupted["folder"]).values()} == {"completed"}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_continued_job_equals_the_run_alone(interrupted, seed, tmp_path):
    alone = launch(*SMALL, f"seed={seed}", f"hydra.run.dir={tmp_path}")
    assert alone.code == 0, alone.output
    assert outcome_of(jobs(interrupted["folder"])[f"seed-{seed}"]) == outcome_of(tmp_path)


def test_a_run_again_is_the_same_run(interrupted, tmp_path):
    job = jobs(interrupted["folder"])["seed-1"]
    outcome = launch(f"rerun={job}", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.output
    assert outcome_of(tmp_path) == outcome_of(job)
    assert results(tmp_path)["rerun_of"] == str(job)


def test_fail_fast_ends_the_sweep(tmp_path, monkeypatch):
    fail_for_seed(monkeypatch, 0)
    outcome = launch("-m", *SMALL, "seed=0,1,2", "fail_fast=true", f"hydra.sweep.dir={tmp_path}")
    assert outcome.code == 1
    assert "job 1/3 failed: RuntimeError: out of\nmemory" in outcome.output
    assert f"sweep of 3 jobs in {tmp_path}: 1 failed, 2 not run to an end\n" in outcome.output
    assert list(jobs(tmp_path)) == ["seed-0"]


def test_more_of_a_ready_made_sweep_skips_what_less_of_it_has_completed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = ("sweep=methods", *SMALL, "epochs=1")
    first = launch(*short, "seed=0", "conv=l2ne")
    assert "sweep of 1 job in" in first.output, first.output
    second = launch(*short, "seed=0,1", "conv=l2ne")
    assert ": 1 completed before and skipped, 1 completed\n" in second.output, second.output
    (sweep,) = (tmp_path / "outputs" / "sweeps" / "robustness").iterdir()
    assert sweep.name.endswith("_over-conv-seed")
    assert jobs(sweep).keys() == {"conv-l2ne_seed-0", "conv-l2ne_seed-1"}


@pytest.mark.parametrize(
    ("begun", "name", "keys"),
    [(False, "methods_over-conv-seed", "conv,seed"), (True, "methods_seed-0_over-conv", "conv")],
)
def test_a_selection_that_an_earlier_version_began_goes_on_in_its_directory(tmp_path, monkeypatch, begun, name, keys):
    monkeypatch.chdir(tmp_path)
    if begun:
        (tmp_path / "outputs/sweeps/robustness" / name).mkdir(parents=True)
    arguments = prepare(["sweep=methods", "seed=0"])
    assert f"hydra.sweep.dir=outputs/sweeps/robustness/{name}" in arguments
    assert f"hydra.sweep.subdir='${{lipnet.job_name:{keys}}}'" in arguments


def test_a_directory_of_another_configuration_is_not_taken_for_done(interrupted):
    job = jobs(interrupted["folder"])["seed-0"]
    other = ("seed=5", f"hydra.sweep.dir={interrupted['folder']}", f"hydra.sweep.subdir={job.name}")
    outcome = launch("-m", *SMALL, *other)
    assert outcome.code == 1
    assert f"{job}: holds a run of another configuration" in outcome.output
    assert results(job)["seed"] == 0


@pytest.mark.filterwarnings("ignore")  # optuna's own
def test_optuna_optimises_the_objective(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs pip install 'lipnet[optuna]'")
    command = (
        "sweep=tune", *SMALL, "epochs=1", "objective=validation.loss", "hydra.sweeper.direction=minimize",
        "hydra.sweeper.n_trials=2", f"hydra.sweep.dir={tmp_path}",
    )  # fmt: skip
    command = tuple(part for part in command if not part.startswith("optimizer.lr"))
    first = launch(*command)
    assert first.code == 0, first.output
    best = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    losses = [results(job)["validation"]["loss"] for job in jobs(tmp_path).values()]
    assert len(losses) == 2
    assert best["best_value"] == min(losses)
    again = launch(*command)  # the same suggestions
    assert f"sweep of 2 jobs in {tmp_path}: 2 completed before and skipped\n" in again.output
    assert yaml.safe_load((tmp_path / "optimization_results.yaml").read_text()) == best
