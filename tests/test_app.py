import gc
import json
import math
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest
import torch
from launching import (
    EPOCHS,
    RADII,
    ROOT,
    TINY,
    charts_without_curves,
    curves,
    events,
    finish,
    finished_run,
    launch,
    layout,
    outcome_of,
    results,
    table,
)  # fmt: skip
from PIL import Image
from sklearn.datasets import load_digits
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import lipnet
from lipnet import app
from lipnet.certify import certificate
from lipnet.errors import UserError
from lipnet.options.checks import radius_value

EXAMPLES = 16  # dataset.limit_test


def test_what_is_imported_is_seldom_collected():
    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)
        assert launch("--version").code == 0
        assert gc.get_threshold() == (700, 10, 100)
    finally:
        gc.set_threshold(*before)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return finished_run(tmp_path_factory)


def _is_fraction(value) -> bool:
    return isinstance(value, float) and 0 <= value <= 1


def _is_positive(value) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value > 0


RESULTS = {
    "task": lambda value: value == "robustness",
    "status": lambda value: value == "completed",
    "choices": lambda value: {
        "task": "robustness", "model": "small", "conv": "bcop", "linear": "orthogonal", "activation": "maxmin",
        "dataset": "digits", "loss": "margin", "optimizer": "adam", "scheduler": "onecycle",
    }.items() <= value.items(),
    "bv2_bound": lambda value: value == {},  # of networks of splines
    "overrides": lambda value: set(TINY) <= set(value),
    "seed": lambda value: value == 0 and isinstance(value, int),
    "configuration": lambda value: re.fullmatch(r"[0-9a-f]{8}", value),
    "started": lambda value: abs((datetime.now(timezone.utc) - datetime.fromisoformat(value)).total_seconds()) < 3600,
    "wall_seconds": _is_positive,
    "hardware": lambda value: value["cpu"] and value["host"] and value["cores"] >= 1 and value["memory_bytes"] > 2**28,
    "validation": lambda value: list(value) == ["loss", "clean_accuracy", "certified_accuracy"]
    and _is_fraction(value["clean_accuracy"]) and list(value["certified_accuracy"]) == list(RADII),
    "versions": lambda value: torch.__version__.startswith(value["torch"]) and value["lipnet"] == lipnet.__version__,
    "device": lambda value: value == "cpu",
    "processes": lambda value: value == 1,
    "threads": lambda value: value == 1,
    "parameters": lambda value: isinstance(value, int) and value > 100,
    "epochs": lambda value: value == EPOCHS,
    "best_epoch": lambda value: value in range(1, EPOCHS + 1),
    "test_examples": lambda value: value == EXAMPLES,
    "attacked_examples": lambda value: value == EXAMPLES,
    "clean_accuracy": _is_fraction,
    "certified_accuracy": lambda value: list(value) == list(RADII) and all(map(_is_fraction, value.values())),
    "attacked_accuracy": lambda value: list(value) == ["fgsm", "pgd", "ddn"]
    and all(list(accuracies) == list(RADII) for accuracies in value.values())
    and all(_is_fraction(accuracy) for accuracies in value.values() for accuracy in accuracies.values()),
    "certified_accuracy_per_pair": lambda value: list(value) == list(RADII) and all(map(_is_fraction, value.values())),
    "certify_dtype": lambda value: value == "float64",
    "certified_accuracy_by_arithmetic": lambda value: list(value) == ["float64", "float32"]
    and all(list(by) == list(RADII) and all(map(_is_fraction, by.values())) for by in value.values()),
    "rounding_cost": lambda value: list(value) == ["float64", "float32"]
    and all(list(cost) == list(RADII) and all(map(_is_fraction, cost.values())) for cost in value.values()),
    "attacked_accuracy_worst": lambda value: list(value) == list(RADII) and all(map(_is_fraction, value.values())),
    "loss_epsilon": lambda value: value == 0.5,
    "loss_margin": lambda value: value == pytest.approx(0.5 * math.sqrt(2)),
    "seconds": lambda value: set(value) == {"bounds", "logits", "attacks", "jacobian", "diagnostics", "figures"}
    and all(map(_is_positive, value.values())),
    "median_attack_distance": lambda value: list(value) == ["ddn"] and _is_positive(value["ddn"]),
    "attack_seconds": lambda value: list(value) == ["fgsm", "pgd", "ddn"] and all(map(_is_positive, value.values())),
    "mean_certified_radius": _is_positive,
    "mean_certified_radius_per_pair": _is_positive,
    "lipschitz_upper_bound": lambda value: 1 < value < 1 + 1e-5,  # a few float32 ulps a layer
    "lipschitz_lower_bound": lambda value: 0.5 < value < 1 + 1e-5,
    "train_seconds": _is_positive,
    "eval_seconds": _is_positive,
    "samples_per_second": _is_positive,
    "peak_memory_bytes": lambda value: isinstance(value, int) and value > 2**20,
}  # fmt: skip


@pytest.mark.parametrize("key", RESULTS)
def test_results(run, key):
    value = results(run)[key]
    assert RESULTS[key](value), value


def test_results_have_no_other_keys(run):
    assert set(results(run)) - {"git_commit"} == set(RESULTS)  # none for another task


def test_accuracies_are_ordered(run):
    found = results(run)
    assert found["clean_accuracy"] > 0  # or else there is nothing to order
    radii = sorted(RADII, key=radius_value)
    for radius in radii:
        certified = found["certified_accuracy_per_pair"][radius]
        assert found["certified_accuracy"][radius] <= certified
        for accuracies in found["attacked_accuracy"].values():
            assert certified <= accuracies[radius] <= found["clean_accuracy"]
    for accuracies in (found["certified_accuracy"], *found["attacked_accuracy"].values()):
        falling = [accuracies[radius] for radius in radii]
        assert falling == sorted(falling, reverse=True)
    assert found["certified_accuracy"]["0.05"] > found["certified_accuracy"]["1.0"]
    by_arithmetic = found["certified_accuracy_by_arithmetic"]
    assert by_arithmetic["float64"] == found["certified_accuracy"]
    assert all(by_arithmetic["float32"][radius] <= by_arithmetic["float64"][radius] for radius in radii)


def test_bounds_are_ordered(run):
    found = results(run)
    assert found["lipschitz_lower_bound"] <= found["lipschitz_upper_bound"]


def test_certificates_hold_every_test_example_once(run):
    rows = table(run / "certificates.csv")
    indices = [int(row["index"]) for row in rows]
    assert len(set(indices)) == len(rows) == EXAMPLES
    assert [int(row["label"]) for row in rows] == load_digits().target[indices].tolist()


def test_accuracies_recomputed_from_certificates_equal_results(run):
    rows, found = table(run / "certificates.csv"), results(run)
    correct = [row["prediction"] == row["label"] for row in rows]
    margins, radii = ([float(row[key]) for row in rows] for key in ("margin", "certified_radius"))
    assert correct == [margin > 0 for margin in margins]
    assert sum(correct) / EXAMPLES == found["clean_accuracy"]
    for radius in RADII:
        assert sum(value > radius_value(radius) for value in radii) / EXAMPLES == found["certified_accuracy"][radius]
    expected = [max(margin, 0) / (math.sqrt(2) * found["lipschitz_upper_bound"]) for margin in margins]
    assert radii == pytest.approx(expected, abs=1e-8)
    assert all(radius <= bound for radius, bound in zip(radii, expected, strict=True))
    assert found["mean_certified_radius"] == pytest.approx(sum(radii) / EXAMPLES)


def test_metrics_have_a_row_an_epoch(run):
    rows = table(run / "metrics.csv")
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in range(1, EPOCHS + 1)]
    accuracies = ["train_clean_accuracy", "validation_clean_accuracy"]
    accuracies += [f"validation_certified_accuracy@{radius.replace('/', '_')}" for radius in RADII]
    for row in rows:
        assert all(0 <= float(row[key]) <= 1 for key in accuracies)
        assert all(float(row[key]) > 0 for key in ("train_loss", "validation_loss", "lipschitz_upper_bound"))
        assert float(row["time_seconds"]) * float(row["time_samples_per_second"]) == pytest.approx(60)


@pytest.mark.parametrize("name", ["last", "best"])
def test_checkpoints_are_plain(run, name):
    saved = torch.load(run / "checkpoints" / f"{name}.pt", weights_only=True)
    assert saved["progress"]["epoch"] == {"last": EPOCHS, "best": results(run)["best_epoch"]}[name]
    assert saved["config"]["optimizer"]["lr"] == 0.03
    assert saved["choices"] == results(run)["choices"]


def test_best_is_the_epoch_with_the_highest_mean_certified_accuracy(run):
    rows = table(run / "metrics.csv")
    columns = [key for key in rows[0] if key.startswith("validation_certified_accuracy")]
    scores = [sum(float(row[key]) for key in columns) for row in rows]
    assert results(run)["best_epoch"] == scores.index(max(scores)) + 1


def test_one_tensorboard_run(run):
    assert len(list(run.rglob("events.out.tfevents*"))) == 1


def test_tensorboard_scalars_equal_the_metrics(run):
    accumulator, rows = events(run), table(run / "metrics.csv")
    tags = {tag.replace("/", "_"): tag for tag in accumulator.Tags()["scalars"]}
    assert set(rows[0]) - {"epoch"} <= set(tags)
    for column in set(rows[0]) - {"epoch"}:
        points = accumulator.Scalars(tags[column])
        assert [point.step for point in points] == [int(row["epoch"]) for row in rows]
        assert [point.value for point in points] == pytest.approx([float(row[column]) for row in rows], rel=1e-6)


def test_tensorboard_scalars_of_the_test_split_equal_the_results(run):
    found, shown = results(run), curves(run)
    expected = {"test/clean_accuracy": found["clean_accuracy"], "lipschitz/lower_bound": found["lipschitz_lower_bound"]}
    expected["test/ddn_median_distance"] = found["median_attack_distance"]["ddn"]
    for radius in RADII:
        place = radius.replace("/", "_")
        expected[f"test/certified_accuracy@{place}"] = found["certified_accuracy"][radius]
        expected[f"test/certified_accuracy_per_pair@{place}"] = found["certified_accuracy_per_pair"][radius]
        for name, accuracies in found["attacked_accuracy"].items():
            expected[f"test/{name}_accuracy@{place}"] = accuracies[radius]
    for tag, value in expected.items():
        ((_, point),) = shown[tag]
        assert point == pytest.approx(value, rel=1e-6), tag


def test_tensorboard_charts_have_curves(run):
    sections, charts = layout(run)
    assert sections == ["training and validation", "certificates"]
    assert {"loss", "clean_accuracy", "certified_accuracy"} <= {title for title, _ in charts}
    assert charts_without_curves(run) == []


def test_tensorboard_singular_values(run):
    accumulator = events(run)
    layers = {"1_BCOPConv2d", "3_BCOPConv2d", "6_OrthogonalLinear", "8_OrthogonalLinear"}
    assert set(accumulator.Tags()["histograms"]) == {f"singular_values/{layer}" for layer in layers}
    for tag in accumulator.Tags()["histograms"]:
        points = accumulator.Histograms(tag)
        assert [point.step for point in points] == list(range(1, EPOCHS + 1))
        for point in points:
            assert 1 - 1e-5 < point.histogram_value.min <= point.histogram_value.max < 1 + 1e-5


def test_tensorboard_figures_and_texts(run):
    accumulator = events(run)
    assert set(accumulator.Tags()["images"]) == {"test/accuracy_against_radius", "test/adversarial_examples"}
    for tag in accumulator.Tags()["images"]:
        assert accumulator.Images(tag)[0].encoded_image_string.startswith(b"\x89PNG")
    for tag, part in (("network/text_summary", "BCOPConv2d(1, 4"), ("results/text_summary", "36/255")):
        assert part in accumulator.Tensors(tag)[0].tensor_proto.string_val[0].decode()


def test_tensorboard_hyperparameters(run):
    contents = events(run).PluginTagToContent("hparams")
    start = HParamsPluginData.FromString(contents["_hparams_/session_start_info"]).session_start_info
    assert start.hparams["optimizer.lr"].number_value == 0.03
    assert start.hparams["model"].string_value == "small"
    assert start.hparams["epochs"].number_value == EPOCHS
    experiment = HParamsPluginData.FromString(contents["_hparams_/experiment"]).experiment
    metrics = {info.name.tag for info in experiment.metric_infos}
    assert "test/clean_accuracy" in metrics
    assert metrics <= set(events(run).Tags()["scalars"])


def test_the_figure_is_a_picture(run):
    with Image.open(run / "certified_accuracy.png") as picture:
        picture.load()
        assert min(picture.size) > 300
        assert len(picture.convert("RGB").getcolors(2**20)) > 10


def test_the_log_says_what_happened(run):
    log = (run / "lipnet.log").read_text()
    for part in ("60 training examples", f"epoch {EPOCHS}/{EPOCHS}", "certified >=", f"everything is in {run}"):
        assert part in log


def test_hydra_keeps_the_overrides(run):
    assert {path.name for path in (run / ".hydra").iterdir()} == {"config.yaml", "hydra.yaml", "overrides.yaml", "lock"}
    assert "optimizer.lr=0.03" in (run / ".hydra" / "overrides.yaml").read_text()


def test_nothing_temporary_is_left(run):
    assert {path.name for path in run.iterdir() if not path.name.startswith("events")} == {
        ".hydra", "checkpoints", "lipnet.log",
        "certificates.csv", "metrics.csv", "results.json", "certified_accuracy.png",
        "singular_values.csv", "gradient_norms.csv",
    }  # fmt: skip
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.pt", "last.pt"}


def test_the_same_seed_gives_the_same_run(run, tmp_path):
    assert outcome_of(finish(tmp_path / "again")) == outcome_of(run)


def test_results_are_keyed_by_radii_as_written(tmp_path):
    written = ["0.50", "1", "1e-1", "72/510"]
    directory = finish(tmp_path, "epochs=1", "attack.steps=1", f"eval_radii=[{','.join(written)}]")
    assert list(results(directory)["certified_accuracy"]) == written


def test_the_default_directory_says_what_ran(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert launch(*TINY, "epochs=1", "attack.steps=1").code == 0
    (directory,) = (tmp_path / "outputs" / "robustness" / "digits-small-bcop").iterdir()
    assert results(directory)["status"] == "completed"
    assert directory.name.startswith("limit_train-60_limit_test-16_batch_size-16_epochs-1_channels-4-4_hidden-8_and-")
    assert (tmp_path / "outputs" / "latest").resolve() == directory


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """Job 1 is the plain run; job 0 has another seed."""
    folder = tmp_path_factory.mktemp("sweep")
    outcome = launch("-m", *TINY, "seed=3,0", f"hydra.sweep.dir={folder}", "hydra.sweep.subdir=${hydra.job.num}")
    assert outcome.code == 0, outcome.output
    return folder


def test_a_job_of_a_sweep_equals_the_run_alone(run, sweep):
    assert [results(sweep / str(job))["seed"] for job in range(2)] == [3, 0]
    assert outcome_of(sweep / "1") == outcome_of(run)
    assert curves(sweep / "1") == curves(run)


def test_another_seed_gives_another_run(sweep):
    first, second = outcome_of(sweep / "0"), outcome_of(sweep / "1")
    differing = {key for key in first if first[key] != second[key]}
    weights = {key for key in first if key.startswith("last.pt model") and key.endswith(("matrix", "weight", "bases"))}
    assert weights
    assert weights | {"certificates.csv", "metrics.csv row 0"} <= differing


def test_jobs_of_a_sweep_have_one_event_file_each(sweep):
    for job in range(2):
        assert len(list((sweep / str(job)).rglob("events.out.tfevents*"))) == 1


def test_a_failing_job_does_not_stop_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    others = [override for override in TINY if not override.startswith("device")]
    outcome = launch(
        "-m",
        *others,
        "epochs=1",
        "device=cuda,cpu",
        f"hydra.sweep.dir={tmp_path}",
    )
    assert outcome.code == 1
    assert "device=cuda: torch finds no CUDA device here" in outcome.output
    assert "Traceback" not in outcome.output
    (cpu,), (cuda,) = tmp_path.glob("device-cpu_*"), tmp_path.glob("device-cuda_*")
    assert results(cpu)["status"] == "completed"
    assert results(cuda)["status"] == "failed"
    assert "device=cuda: torch finds no CUDA device here" in results(cuda)["error"]
    assert "sweep of 2 jobs" in outcome.output
    assert "1 failed, 1 completed" in outcome.output


def test_cuda_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    outcome = launch("device=cuda", "threads=1", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 1
    assert outcome.output == "lipnet: device=cuda: torch finds no CUDA device here; use device=cpu or device=auto.\n"
    assert results(tmp_path)["status"] == "failed"
    assert not _claims_completion(tmp_path)


def test_missing_data_is_one_message(tmp_path):
    folder = tmp_path / "none"
    overrides = ("dataset=mnist", "dataset.download=false", f"dataset.root={folder}")
    outcome = launch(*overrides, f"hydra.run.dir={tmp_path / 'run'}")
    assert outcome.code == 1
    assert outcome.output.count("lipnet: ") == 1
    assert f"dataset.root={folder}: mnist is missing" in outcome.output
    assert "Traceback" not in outcome.output
    assert results(tmp_path / "run")["status"] == "failed"
    assert not folder.exists()


def test_a_broken_certificate_fails_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(certificate, "lipschitz_bound", lambda module, shape: 1e-3)
    outcome = launch(*TINY, f"hydra.run.dir={tmp_path}")
    assert outcome.code == 1
    found = results(tmp_path)
    assert found["status"] == "failed"
    assert found["error"].startswith("CertificateViolation: fgsm fooled the network inside the certified radius")
    assert not {"certified_accuracy", "clean_accuracy"} & set(found)


@pytest.mark.parametrize("seed", [2**32, 2**64, 10**30], ids=["2^32", "2^64", "10^30"])
def test_a_large_seed_runs_or_is_refused(tmp_path, seed):
    outcome = launch(*TINY, "epochs=1", f"seed={seed}", f"hydra.run.dir={tmp_path}")
    assert "Traceback" not in outcome.output
    if outcome.code:
        assert outcome.output.startswith(f"lipnet: seed={seed}: ")


@pytest.mark.parametrize("overrides", [("conv=plain", "linear=plain"), ("linear=plain",)], ids=["NaN", "huge"])
def test_a_network_that_diverges_certifies_nothing(tmp_path, overrides):
    """Such a network's Lipschitz bound may be no number that JSON can hold."""
    outcome = launch(
        *TINY, *overrides, "optimizer=sgd", "optimizer.lr=100", "loss=cross_entropy", f"hydra.run.dir={tmp_path}"
    )
    assert "Traceback" not in outcome.output
    found = json.loads((tmp_path / "results.json").read_text(), parse_constant=_refuse)
    assert found["status"] == ("failed" if outcome.code else "completed")
    assert set(found.get("certified_accuracy", {"": 0.0}).values()) == {0.0}


def _refuse(name: str) -> None:
    raise AssertionError(f"results.json holds {name}, which is not JSON")


def _claims_completion(directory: Path) -> bool:
    return (directory / "results.json").exists() and results(directory)["status"] == "completed"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_the_commit_is_recorded(run):
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", results(run)["git_commit"])


@pytest.mark.parametrize(
    ("overrides", "processes", "problems"),
    [
        ([], 2, []),
        (["batch_size=2"], 3, ["batch_size=2: shared by 3 processes; use at least 3."]),
        (["task=gan"], 2, ["task=gan: runs in one process; start it without torchrun."]),
        (
            ["model=shufflenet", "dataset=cifar10", "batch_size=1"],
            2,
            [
                "model=shufflenet: normalises over a batch, of which each process has a share; start it without "
                "torchrun.",
                "batch_size=1: shared by 2 processes; use at least 2.",
            ],
        ),
        (["model=shufflenet", "dataset=cifar10", "task=evaluate", "run=somewhere"], 2, []),
        (
            ["model.centering=true"],
            2,
            [
                "model.centering=true: subtracts means of batches, of which each process has a share; start it without "
                "torchrun."
            ],
        ),
        (["model.centering=true", "task=evaluate", "run=somewhere"], 2, []),
    ],
)
def test_what_several_processes_cannot_share(overrides, processes, problems, make_config):
    try:
        app._check_shared(make_config(*overrides), processes)
        found = []
    except UserError as error:
        found = error.problems
    assert list(found) == problems
