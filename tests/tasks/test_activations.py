"""Runs with learned activations: their figure, their linear regions, and what is deployed of them."""

import pytest
import torch
from launching import TINY, launch, results, table
from torch import nn

from lipnet import load_run, to_plain
from lipnet.export.__main__ import main as certify
from lipnet.layers import FixedSpline, LinearSpline, MaxMin, ThresholdedSpline
from lipnet.tasks.activations import activations_figure, linear_regions


def test_a_row_a_layer_and_a_column_a_channel():
    network = nn.Sequential(
        nn.Conv2d(1, 3, 2), LinearSpline(3), nn.Flatten(), nn.Linear(27, 20), LinearSpline(20)
    ).eval()
    figure = activations_figure(network, torch.rand(5, 1, 4, 4))
    drawn = [axes for axes in figure.axes if axes.lines]
    assert len(drawn) == 3 + 16
    counted = sum(patch.get_height() for axes in figure.axes for patch in axes.patches)
    assert counted == 5 * (3 * 9 + 16)
    assert activations_figure(nn.Sequential(MaxMin()), torch.rand(5, 2)) is None


def test_linear_regions_are_averaged_over_all_splines():
    network = nn.Sequential(LinearSpline(3, initial="identity"), LinearSpline(5, initial="abs").fixed(), MaxMin())
    assert linear_regions(network) == {"train/linear_regions": pytest.approx((3 + 5 * 2) / 8)}
    assert linear_regions(nn.Sequential(MaxMin())) == {}


def test_a_run_is_judged_by_what_is_deployed(tmp_path):
    run = tmp_path / "run"
    outcome = launch(
        *TINY, "activation=spline", "activation.threshold=0.05", "activation.tv2=1e-3", "optimizer.lr=0.01",
        "attack.names=[ddn]", f"hydra.run.dir={run}",
    )  # fmt: skip
    assert outcome.code == 0, outcome.output
    assert (run / "activations.png").stat().st_size > 1000
    assert "activations.png (the learned activations)" in outcome.output
    model = load_run(run, "last").model
    plain, last = to_plain(model), table(run / "metrics.csv")[-1]
    assert sum(isinstance(layer, ThresholdedSpline) for layer in model) == 3
    assert sum(isinstance(layer, FixedSpline) for layer in plain) == 3
    assert float(last["train_linear_regions"]) == pytest.approx(linear_regions(plain)["train/linear_regions"])
    assert float(last["train_regularizer"]) > 0
    found = results(run)
    assert found["lipschitz_lower_bound"] <= found["lipschitz_upper_bound"] <= 1.0001 * 1 / 0.25
    assert found["bv2_bound"].keys() == {"1", "2", "inf"}
    outcome = launch("task=export", f"run={run}", "task.onnx=false", f"hydra.run.dir={tmp_path / 'export'}")
    assert outcome.code == 0, outcome.output
    assert results(tmp_path / "export")["certified_accuracy"] == found["certified_accuracy"]
    assert certify([str(tmp_path / "export")]) == 0
