import json
import os
import shutil
import signal

import pytest
import torch
from launching import charts_without_curves, curves, events, launch, layout, outcome_of, results, table

from lipnet import load_run
from lipnet.data.pairs import load_pair
from lipnet.display.canvas import blank_figure
from lipnet.runs import checkpoint
from lipnet.tasks.wasserstein import task as wasserstein

EPOCHS, STEPS = 3, 8
TINY = (
    "task=wasserstein", "dataset=three_cones", f"dataset.steps_per_epoch={STEPS}", "dataset.selection_samples=200",
    "dataset.evaluation_samples=300", "estimate.transport_samples=100", "model.hidden=[8,8]", f"epochs={EPOCHS}",
    "batch_size=16", "optimizer.lr=0.03", "singular_values_every=2", "progress=off", "threads=1", "device=cpu",
)  # fmt: skip


def _finish(directory, *overrides):
    outcome = launch(*TINY, *overrides, f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.output
    return outcome.output


@pytest.fixture
def no_figure(monkeypatch):
    """Figures are half of a tiny run's time; tests/results draws them."""
    monkeypatch.setattr(wasserstein, "wasserstein_figure", lambda *_: blank_figure())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wasserstein") / "run"
    return {"directory": directory, "output": _finish(directory)}


def test_the_results_keep_the_contract(run):
    found = results(run["directory"])
    assert (found["task"], found["status"], found["epochs"]) == ("wasserstein", "completed", EPOCHS)
    assert {"train_seconds", "eval_seconds", "samples_per_second", "parameters", "peak_memory_bytes"} <= set(found)
    assert not {"clean_accuracy", "certified_accuracy", "attacked_accuracy", "test_examples"} & set(found)
    estimate = found["wasserstein"]
    assert estimate["certified_lower_bound"] < estimate["ci_low"] < estimate["estimate"] < estimate["ci_high"]
    assert 0 < estimate["estimate"] <= estimate["true_value"] == 1.0
    assert estimate["estimate_over_true"] == estimate["estimate"]
    assert estimate["estimate_on_sample"] <= estimate["exact_on_sample"]
    assert (estimate["evaluation_samples"], estimate["transport_samples"]) == (300, 100)
    assert estimate["units"] == "L2 distance between vectors"
    assert "published" not in estimate
    assert found["lipschitz_lower_bound"] <= found["lipschitz_upper_bound"] <= 1 + 1e-5


def test_the_estimate_is_the_gap_over_the_bound_in_float64(run):
    found, config = results(run["directory"]), load_run(run["directory"]).config
    model = load_run(run["directory"]).model.double()
    first, second = load_pair(config.dataset).samples("evaluation", 300, 0)
    with torch.no_grad():
        gap = float(model(first).mean() - model(second).mean())
    assert found["wasserstein"]["estimate"] == pytest.approx(gap / found["lipschitz_upper_bound"], abs=1e-6)


def test_metrics_and_best_epoch(run):
    rows = table(run["directory"] / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert set(rows[0]) >= {"train_loss", "validation_estimate", "validation_ci_low", "validation_ci_high",
                            "validation_true_value", "lipschitz_upper_bound", "time_seconds"}  # fmt: skip
    scores = [float(row["validation_estimate"]) for row in rows]
    assert results(run["directory"])["best_epoch"] == 1 + scores.index(max(scores))
    assert all(float(row["validation_ci_low"]) < score for row, score in zip(rows, scores, strict=True))


def test_what_a_run_leaves_behind(run):
    names = {path.name for path in run["directory"].iterdir()}
    assert {"results.json", "metrics.csv", "wasserstein.png", "checkpoints", "lipnet.log", ".hydra"} <= names
    assert not {"certificates.csv", "certified_accuracy.png"} & names
    tags = events(run["directory"]).Tags()
    assert "test/wasserstein" in tags["images"]
    assert {"validation/estimate", "validation/true_value", "test/estimate", "test/certified_lower_bound",
            "test/estimate_over_true", "lipschitz/lower_bound"} <= set(tags["scalars"])  # fmt: skip
    assert any(tag.startswith("singular_values/") for tag in tags["histograms"])
    assert layout(run["directory"])[0] == ["training and validation", "certificates"]
    assert charts_without_curves(run["directory"]) == []


def test_the_closing_table_says_what_each_figure_means(run):
    assert "Wasserstein-1, L2 distance between vectors, 300 evaluation samples a side" in run["output"]
    for words in ("certified at 95.00 %", "plug-in) it is too large on average", "estimate / true value: "):
        assert words in run["output"]


@pytest.mark.usefixtures("no_figure")
def test_an_epoch_is_continued_in_its_middle(run, tmp_path, monkeypatch):
    """SIGTERM at a step of the second epoch saves there, and what is left is done as if nothing had happened."""
    original, calls = wasserstein.Wasserstein.step, []

    def step(self, *arguments):
        calls.append(1)
        if len(calls) == STEPS + 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(wasserstein.Wasserstein, "step", step)
        assert launch(*TINY, f"hydra.run.dir={tmp_path / 'run'}").code == 143
    outcome = launch(f"resume={tmp_path / 'run'}")
    assert outcome.code == 0, outcome.output
    assert "continuing after epoch 1, batch 3" in outcome.output
    assert outcome_of(tmp_path / "run") == outcome_of(run["directory"])
    assert curves(tmp_path / "run") == curves(run["directory"])


def test_an_evaluation_repeats_and_varies_the_estimate(run, tmp_path):
    outcome = launch("task=evaluate", f"run={run['directory']}", f"hydra.run.dir={tmp_path / 'same'}")
    assert outcome.code == 0, outcome.output
    old, new = results(run["directory"]), results(tmp_path / "same")
    assert new["wasserstein"] == old["wasserstein"]
    assert (tmp_path / "same" / "wasserstein.png").stat().st_size > 10_000
    outcome = launch(
        "task=evaluate", f"run={run['directory']}", f"hydra.run.dir={tmp_path / 'other'}", "estimate.confidence=0.5",
        "dataset.evaluation_samples=2000", "estimate.transport_samples=30",
    )  # fmt: skip
    assert outcome.code == 0, outcome.output
    other = results(tmp_path / "other")["wasserstein"]
    assert (other["confidence"], other["evaluation_samples"], other["transport_samples"]) == (0.5, 2000, 30)
    assert other["ci_high"] - other["ci_low"] < old["wasserstein"]["ci_high"] - old["wasserstein"]["ci_low"]
    assert other["certified_lower_bound"] > old["wasserstein"]["certified_lower_bound"]


@pytest.mark.usefixtures("no_figure")
@pytest.mark.parametrize(
    "overrides",
    [
        ("dataset=absolute_value",),
        ("dataset=translation", "optimizer=rmsprop"),
        ("dataset=minfunnel", "model=fc", "dataset.dimension=2", "dataset.funnels=4", "linear=plain"),
        ("dataset=nearest_anchor", "dataset.selection_samples=100", "model=small", "model.channels=[4,4]"),
        ("dataset=two_classes", "model=cones", "model.cones=100", "model.apices=second"),
        ("dataset=two_images", "model=critic", "model.channels=[2,4,4,4]", "model.hidden=[]", "model.image_size=32",
         "conv=rko"),
        ("dataset=nuisance", "dataset.dimension=6", "linear=spectral", "activation=groupsort",
         "activation.group_size=null"),
    ],
    ids=lambda overrides: overrides[0],
)  # fmt: skip
def test_every_kind_of_pair_and_critic(overrides, tmp_path):
    hidden = [
        part
        for part in TINY
        if not (part.startswith("model.hidden") and {"model.hidden=[]", "model=cones"} & set(overrides))
    ]
    hidden.remove("dataset=three_cones")
    if "dataset=nearest_anchor" in overrides:
        hidden.remove("dataset.selection_samples=200")
    outcome = launch(*hidden, *overrides, "epochs=1", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.output
    found = results(tmp_path)
    slack = found["wasserstein"]["ci_high"] - found["wasserstein"]["estimate"]
    assert found["wasserstein"]["estimate"] <= found["wasserstein"]["true_value"] + 3 * slack + 1e-6
    assert found["wasserstein"]["certified_lower_bound"] <= found["wasserstein"]["true_value"]
    assert json.loads(json.dumps(found["wasserstein"])) == found["wasserstein"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("dataset=two_images", "dataset.first=4", "dataset.second=4"), "are the same image of digits"),
        (("dataset=nearest_anchor", "dataset.evaluation_samples=1790"), "some must be left to train on"),
        (("dataset=two_classes", "dataset.classes=[3,12]"), "dataset.classes=[3, 12]: digits has classes 0 to 9"),
        (("dataset=two_classes", "dataset.classes=[3,3]"), "dataset.classes=[3,3]: two equal distributions"),
        (("dataset=two_classes", "dataset.atoms=400"), "training images of class 3; use fewer"),
        (("dataset=digits", "model=cones", "task=robustness"), "model=cones: has one output, and dataset=digits has"),
        (("dataset=cone", "dataset.evaluation_samples=5"), "too few to prove anything"),
        (("dataset=digits",), "task=wasserstein compares two distributions"),
        (("dataset=cone", "model=critic"), "model=critic: needs images"),
    ],
)
def test_what_cannot_be_estimated_is_said_before_training(overrides, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = launch("task=wasserstein", *overrides, "progress=off")
    assert outcome.code == 1
    assert words in " ".join(outcome.output.split())
    assert "Traceback" not in outcome.output
    assert not list(tmp_path.rglob("checkpoints"))


@pytest.mark.usefixtures("no_figure")
def test_a_resumed_estimate_may_change_its_confidence_but_not_its_samples(run, tmp_path):
    directory = shutil.copytree(run["directory"], tmp_path / "run")
    (directory / "results.json").unlink()
    assert launch(f"resume={directory}", "dataset.evaluation_samples=100").code == 1
    assert launch(f"resume={directory}", "estimate.confidence=0.9").code == 0
    assert results(directory)["wasserstein"]["confidence"] == 0.9
    assert checkpoint.load(directory / "checkpoints" / "last.pt")["progress"]["epoch"] == EPOCHS
