import pytest
from launching import RADII, finished_run, launch, results, table

from lipnet.runs import checkpoint
from lipnet.tasks.robustness import task as robustness


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory)


def _state(directory):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def again(run, tmp_path_factory):
    """The run evaluated at two of its radii, in another order, and a new one; and the run's files before and after."""
    directory = tmp_path_factory.mktemp("evaluate") / "again"
    before = _state(run)
    outcome = launch("task=evaluate", f"run={run}", "eval_radii=[0.3,0.4,36/255]", f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.output
    return {"directory": directory, "output": outcome.output, "before": before, "after": _state(run)}


@pytest.mark.parametrize(
    "key",
    ["clean_accuracy", "mean_certified_radius", "lipschitz_upper_bound", "lipschitz_lower_bound", "parameters",
     "best_epoch", "test_examples", "seed"],
)  # fmt: skip
def test_the_same_network_gives_the_same_numbers(run, again, key):
    assert results(again["directory"])[key] == results(run)[key]


def test_the_same_radii_give_the_same_accuracies(run, again):
    old, new = results(run), results(again["directory"])
    assert list(new["certified_accuracy"]) == ["0.3", "0.4", "36/255"]
    for radius in ("0.3", "36/255"):
        assert new["certified_accuracy"][radius] == old["certified_accuracy"][radius]
        for name in ("fgsm", "pgd", "ddn"):
            assert new["attacked_accuracy"][name][radius] == old["attacked_accuracy"][name][radius]


def test_certificates_are_the_same(run, again):
    assert table(again["directory"] / "certificates.csv") == table(run / "certificates.csv")


def test_an_evaluation_says_what_it_is(run, again):
    found = results(again["directory"])
    assert (found["task"], found["status"], found["run"]) == ("evaluate", "completed", str(run))
    assert found["choices"]["task"] == "evaluate"
    assert not {"train_seconds", "epochs", "samples_per_second"} & set(found)
    assert f"weights of epoch {results(run)['best_epoch']}" in again["output"]


def test_conformal_sets_of_a_finished_run(run, tmp_path):
    """Of a run that knew of none; as a figure, in the table and in the numbers."""
    outcome = launch(
        "task=evaluate", f"run={run}", "conformal.alpha=0.5", "conformal.calibration=test", f"hydra.run.dir={tmp_path}"
    )
    assert outcome.code == 0, outcome.output
    found = results(tmp_path)["conformal"]
    assert list(found["coverage"]) == ["0", *RADII]
    assert list(found["attacked_coverage"]) == list(RADII)
    assert min(found["attacked_coverage"].values()) >= found["certified_coverage"]
    assert found["calibration_examples"] + found["examples"] == results(run)["test_examples"]
    assert (tmp_path / "conformal.png").stat().st_size > 10_000
    assert "attacked coverage" in outcome.output
    assert results(tmp_path)["certified_accuracy"] == results(run)["certified_accuracy"]


def test_an_evaluation_has_a_directory_of_its_own(again):
    names = {path.name for path in again["directory"].iterdir()}
    assert {"results.json", "certificates.csv", "certified_accuracy.png", "lipnet.log", ".hydra"} <= names
    assert not {"checkpoints", "metrics.csv"} & names


def test_the_run_is_untouched(again):
    assert again["after"] == again["before"]


def test_precision_attacks_and_test_examples_may_change(run, tmp_path):
    outcome = launch(
        "task=evaluate", f"run={run}", "certify_dtype=float32", "attack.steps=1", "attack.examples=3",
        "dataset.limit_test=8", f"hydra.run.dir={tmp_path}",
    )  # fmt: skip
    assert outcome.code == 0, outcome.output
    found = results(tmp_path)
    assert (found["test_examples"], found["attacked_examples"]) == (8, 3)
    assert list(found["certified_accuracy"]) == list(RADII)
    old = {row["index"]: row for row in table(run / "certificates.csv")}
    for row in table(tmp_path / "certificates.csv"):
        assert row["prediction"] == old[row["index"]]["prediction"]
        assert float(row["margin"]) == pytest.approx(float(old[row["index"]]["margin"]), abs=1e-5)
        assert float(row["certified_radius"]) <= float(old[row["index"]]["certified_radius"])


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("epochs=5", "epochs"), ("model=fc", "model"), ("seed=1", "seed"), ("optimizer.lr=0.1", "optimizer.lr"),
        ("conv=plain", "conv"), ("dataset=mnist", "dataset"), ("dataset.std=[0.5]", "dataset.std"),
        ("resume=outputs", "resume"), ("+model.hidden=[4]", "model.hidden"),
    ],
)  # fmt: skip
def test_what_is_the_run_s_own_is_refused(run, tmp_path, monkeypatch, override, key):
    monkeypatch.chdir(tmp_path)
    outcome = launch("task=evaluate", f"run={run}", override)
    assert outcome.code == 1
    assert outcome.output.startswith("lipnet: ")
    assert key in outcome.output
    assert "Traceback" not in outcome.output
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_configuration_is_refused(run, tmp_path):
    """The command line is completed with the run's overrides; weights saved under others do not fit them."""
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    overrides = (run / ".hydra" / "overrides.yaml").read_text()
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text(overrides.replace("[4,4]", "[4,8]"))
    checkpoint.save(tmp_path / "run" / "checkpoints" / "best.pt", checkpoint.load(run / "checkpoints" / "best.pt"))
    outcome = launch("task=evaluate", f"run={tmp_path / 'run'}", f"hydra.run.dir={tmp_path / 'again'}")
    assert outcome.code == 1
    assert "model.channels: " in outcome.output
    assert "Traceback" not in outcome.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["task=evaluate"], "run=null: task=evaluate needs run=DIR"),
        (["task=evaluate", "run=nowhere"], "run=nowhere: not a run directory"),
        (["run=nowhere"], "run=nowhere: only task=evaluate, task=export and dataset=gan read it"),
    ],
    ids=["no run", "not a run", "not evaluating"],
)
def test_what_is_no_run(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    outcome = launch(*arguments)
    assert outcome.code == 1
    assert message in outcome.output
    assert "Traceback" not in outcome.output


def test_a_run_that_has_no_checkpoint_yet(tmp_path, run):
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    overrides = (run / ".hydra" / "overrides.yaml").read_text()
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text(overrides)
    outcome = launch("task=evaluate", f"run={tmp_path / 'run'}", f"hydra.run.dir={tmp_path / 'again'}")
    assert outcome.code == 1
    assert "best.pt: this checkpoint does not exist" in outcome.output
    assert "Traceback" not in outcome.output


FAILING = {
    "figures": (robustness, "accuracy_against_radius"),
    "singular_values.csv": (robustness, "write_diagnostics"),
    "TensorBoard": (robustness, "_track"),
}


@pytest.mark.parametrize("what", FAILING)
def test_what_fails_beside_the_results_does_not_lose_them(run, tmp_path, monkeypatch, what):
    def fail(*_):
        raise RuntimeError("it cannot be done here")

    monkeypatch.setattr(*FAILING[what], fail)
    outcome = launch("task=evaluate", f"run={run}", "attack.names=[]", f"hydra.run.dir={tmp_path / 'out'}")
    assert outcome.code == 0, outcome.output
    assert what in outcome.output
    assert "left out (RuntimeError: it cannot be done here)" in outcome.output
    assert results(tmp_path / "out")["status"] == "completed"
