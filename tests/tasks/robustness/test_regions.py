"""The figure of decision regions: what is drawn of a constrained network, and of one that proves nothing."""

import io

import pytest
import torch
from launching import TINY, launch, results
from torch import nn

from lipnet.data.images import load_splits
from lipnet.models import build_model
from lipnet.options.facts import inputs_and_outputs
from lipnet.tasks.robustness.regions import decision_regions


@pytest.mark.parametrize(
    ("name", "excess", "levels"), [("circle", 0.0, ["0.01", "0.03", "0.1"]), ("s_shape", 1e6, [])]
)  # fmt: skip
def test_regions_points_and_contours(name, excess, levels, make_config):
    config = make_config(f"dataset={name}", "dataset.points=50", "model.hidden=[8]", "linear=plain", "activation=abs")
    network = build_model(config, *inputs_and_outputs(config.dataset)).eval()
    first, last = network[3], network[-1]
    with torch.no_grad():  # |x| + |y| - 0.7; what is added and taken again makes the bound large
        first.weight.copy_(torch.eye(2).repeat(4, 1))
        first.bias.zero_()
        last.weight.copy_(torch.tensor([[1.0, 1.0, excess, 0.0, -excess, 0.0, 0.0, 0.0], [0.0] * 8]))
        last.bias.copy_(torch.tensor([-0.7, 0.0]))
    train = load_splits(config.dataset, 0).train
    figure = decision_regions(network, config, train)
    figure.savefig(io.BytesIO(), format="png", dpi=30)
    (axes,) = figure.axes
    drawn = [len(line.get_xdata()) for line in axes.lines]
    assert drawn == [int((train.labels == label).sum()) for label in (0, 1)]
    assert sorted({text.get_text().rstrip("0") for text in axes.texts}) == levels
    assert axes.get_title().startswith(f"{name}: ")
    assert ("contours: certified radius" in axes.get_title()) == bool(levels)
    assert isinstance(network[0], nn.Unflatten)


@pytest.mark.usefixtures("without_figures")
def test_a_run_on_points(tmp_path):
    """Attacks, figure and bounds; and the export of its network."""
    run = tmp_path / "run"
    points = [text for text in TINY if not text.startswith("model.channels")]
    outcome = launch(
        *points, "dataset=circle", "linear=plain", "activation=spline", "activation.constrained=false",
        "attack.names=[fgsm,pgd,ddn]", "dataset.limit_train=40", f"hydra.run.dir={run}",
    )  # fmt: skip
    assert outcome.code == 0, outcome.output
    assert (run / "decision_regions.png").stat().st_size > 1000
    found = results(run)
    assert found["bv2_bound"].keys() == {"1", "2", "inf"}
    assert found["lipschitz_lower_bound"] <= found["lipschitz_upper_bound"] <= found["bv2_bound"]["2"]
    assert "by the splines' variation (BV2), in the p-norm: at most " in outcome.output
    outcome = launch("task=export", f"run={run}", "task.onnx=false", f"hydra.run.dir={tmp_path / 'export'}")
    assert outcome.code == 0, outcome.output
    assert results(tmp_path / "export")["certified_accuracy"] == found["certified_accuracy"]
