"""A posterior from the shell: its files, its figure and table, its continuation, evaluation and export."""

import itertools
import os
import signal

import pytest
import torch
from launching import BAYES, VOLATILE, launch, results

from lipnet.errors import UserError
from lipnet.models.posterior import build_posterior
from lipnet.runs.files import read_csv
from lipnet.runs.load import load_run
from lipnet.tasks.bayes import sampling
from lipnet.tasks.bayes.hmc import HMC
from lipnet.tasks.bayes.posterior import FILE, Samples, load_posterior, save_posterior
from lipnet.tasks.bayes.table import bayes_table

PROVED = ("linear=orthogonal", "activation=maxmin", "task.lipschitz=6")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("posterior")
    outcome = launch(*BAYES, f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.output
    return directory, outcome.output


def stable(directory):
    return {key: value for key, value in results(directory).items() if key not in VOLATILE}


def test_a_run_leaves_what_it_found(finished):
    directory, output = finished
    found = results(directory)["bayes"]
    shares = [found[key] for key in found if "violat" in key or key in ("unproved", "coverage", "acceptance")]
    assert all(0 <= share <= 1 for share in shares)
    assert found["members"] == 6
    assert {"violation", "violation_unconstrained", "certified_violation", "train_error"} <= found.keys()
    for name in (FILE, "posterior_functions.png", "checkpoints/best.pt", "checkpoints/last.pt", "metrics.csv"):
        assert (directory / name).exists()
    assert not (directory / "checkpoints" / "previous.pt").exists()
    assert "points at which the mean violates" in output
    assert "posterior.pt (the sampled networks)" in output
    assert "task=evaluate" not in output.partition("next:")[2]
    assert [int(row["epoch"]) for row in read_csv(directory / "metrics.csv")] == [1, 2, 3, 4]


def test_the_file_of_a_posterior_holds_the_runs_networks(finished):
    directory, _ = finished
    saved = torch.load(directory / FILE, weights_only=True)
    posteriors = load_posterior(directory / FILE, 13)
    assert saved["posteriors"].keys() == posteriors.keys() == {"constrained", "unconstrained"}
    assert posteriors["constrained"].vectors.shape == (6, 13)
    run = load_run(directory)
    first = torch.cat([parameter.flatten() for parameter in run.model[0].members[0].parameters()])
    assert torch.equal(first.double(), posteriors["constrained"].vectors[0])
    with pytest.raises(UserError, match="not of this run's size of 14 parameters"):
        load_posterior(directory / FILE, 14)


def test_a_posteriors_file_is_read_as_it_was_written(tmp_path):
    written = Samples(torch.randn(4, 3).double(), 2, torch.randn(4).double())
    save_posterior(tmp_path / FILE, {"constrained": written}, {"0.weight": torch.Size((3,))})
    read = load_posterior(tmp_path / FILE, 3)["constrained"]
    assert torch.equal(read.vectors, written.vectors)
    assert torch.equal(read.log_factors, written.log_factors)
    assert read.chains == 2


def test_an_evaluation_finds_the_same_again(finished, tmp_path):
    directory, _ = finished
    outcome = launch("task=evaluate", f"run={directory}", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.output
    own = {"acceptance", "divergences"}  # of the chains, which are not there any more
    wanted = {key: value for key, value in results(directory)["bayes"].items() if key not in own}
    assert results(tmp_path)["bayes"] == wanted


def test_an_export_is_the_mean(finished, tmp_path):
    directory, _ = finished
    outcome = launch("task=export", f"run={directory}", "task.onnx=false", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.output
    scope = {"__file__": str(tmp_path / "network.py"), "__name__": "exported"}
    exec((tmp_path / "network.py").read_text(), scope)
    inputs = torch.randn(7, 1)
    with torch.no_grad():
        torch.testing.assert_close(scope["load"]()(inputs), load_run(directory).model(inputs))
    assert results(tmp_path)["lipschitz_upper_bound"] >= results(directory)["lipschitz_upper_bound"] * (1 - 1e-6)


@pytest.mark.parametrize("unproved", ["reject", "reweight", "keep"])
def test_networks_that_are_not_proved_are_left_out(finished, tmp_path, unproved):
    directory, _ = finished
    outcome = launch(
        "task=evaluate", f"run={directory}", f"proof.unproved={unproved}", "proof.cells=2000",
        f"hydra.run.dir={tmp_path}",
    )  # fmt: skip
    assert outcome.code == 0, outcome.output
    found = results(tmp_path)["bayes"]
    if unproved == "keep" or found["unproved"] == 1:
        assert (found["members"], found["certified_violation"]) == (6, pytest.approx(found["unproved"]))
        assert unproved == "keep" or "all are kept" in outcome.output
    else:
        assert found["members"] == round(6 * (1 - found["unproved"]))
        assert found["certified_violation"] == found["attacked_violation"] == 0


def test_a_lipschitz_network_is_one_whatever_its_parameters(tmp_path, make_config):
    config = make_config(*BAYES, *PROVED)
    model = build_posterior(config, (1,), 1)
    assert len(model[0].members) == 6
    outcome = launch(*BAYES, *PROVED, f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.output
    assert results(tmp_path)["lipschitz_upper_bound"] == pytest.approx(6, abs=1e-3)


class Killed(BaseException):
    """Stands for SIGKILL: nothing is done after it."""


@pytest.mark.parametrize("moment", [("asked", 2), ("asked", 5), ("killed", 1), ("killed", 6)], ids=str)
def test_a_run_that_was_stopped_goes_on_to_the_bit(finished, tmp_path, monkeypatch, moment):
    directory, _ = finished
    (how, count), calls, original = moment, itertools.count(1), HMC.step

    def step(self, state, iteration):
        original(self, state, iteration)
        if next(calls) == count:
            if how == "killed":
                raise Killed
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(HMC, "step", step)
        patched.setattr(sampling, "_CHECKPOINT_SECONDS", 0.0)  # after every iteration
        if how == "killed":
            with pytest.raises(Killed):
                launch(*BAYES, f"hydra.run.dir={tmp_path}")
        else:
            assert launch(*BAYES, f"hydra.run.dir={tmp_path}").code == 143
    begun = (tmp_path / "checkpoints" / "last.pt").exists()
    outcome = launch(*([f"resume={tmp_path}"] if begun else [*BAYES, f"hydra.run.dir={tmp_path}"]))
    assert outcome.code == 0, outcome.output
    mine, whole = (torch.load(each / FILE, weights_only=True)["posteriors"] for each in (tmp_path, directory))
    assert all(torch.equal(mine[name]["vectors"], whole[name]["vectors"]) for name in whole)
    assert stable(tmp_path)["bayes"] == stable(directory)["bayes"]
    assert read_csv(tmp_path / "metrics.csv") == read_csv(directory / "metrics.csv")


def test_chains_that_diverge_end_with_a_message(tmp_path):
    outcome = launch(
        *BAYES, "inference.step=100", "inference.acceptance=null", "inference.draws=8", f"hydra.run.dir={tmp_path}"
    )
    assert outcome.code == 1
    assert "most trajectories of the chains diverge; a smaller inference.step (it is 100) usually avoids it" in (
        outcome.output
    )
    assert "Traceback" not in outcome.output


def test_a_damaged_checkpoint_is_passed_over(finished, tmp_path):
    assert launch(*BAYES, "debug=fast", f"hydra.run.dir={tmp_path}").code == 0
    (tmp_path / "results.json").unlink()
    (tmp_path / "checkpoints" / "last.pt").write_bytes(b"nothing")
    outcome = launch(f"resume={tmp_path}")
    assert outcome.code == 1
    assert "no checkpoint to continue from; delete it to start anew" in outcome.output


def test_the_table_leaves_out_a_twin_that_there_is_not(finished):
    found = results(finished[0])
    assert "unconstrained" in bayes_table(found, False)
    alone = {key: value for key, value in found["bayes"].items() if not key.endswith("_unconstrained")}
    shown = bayes_table({**found, "bayes": alone}, False)
    assert "unconstrained" not in shown
    assert max(map(len, bayes_table(found, False, 60).splitlines())) <= 60


@pytest.mark.parametrize("name", ["three_blobs", "two_cubics"])
def test_other_problems_have_figures_too(tmp_path, name):
    outcome = launch(*(BAYES[:1]), f"dataset={name}", "inference=hmc", *BAYES[2:], f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.output
    assert (tmp_path / "posterior_functions.png").stat().st_size > 5000
