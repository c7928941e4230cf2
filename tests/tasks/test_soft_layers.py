"""A layer that is soft while it trains: what is validated, evaluated and exported is the network as it is deployed."""

import dataclasses

import pytest
import torch
from launching import TINY, launch, results, table
from torch import nn

from lipnet import load_run, to_plain
from lipnet.data.images import load_splits
from lipnet.export.__main__ import main as certify
from lipnet.options import GROUPS


class Gate(nn.Module):
    """Lets through what is above a threshold, which is 0 once it is deployed, and otherwise a part.

    Soft, it has no Lipschitz rule, so that nothing but its hard form can be certified.
    """

    def __init__(self):
        super().__init__()
        self.softness = nn.Parameter(torch.tensor(0.3))

    def forward(self, inputs):
        return torch.where(inputs > 0, inputs, self.softness * inputs)

    def regularizer(self):
        return self.softness.square()

    def hardened(self):
        return nn.ReLU()


@pytest.fixture
def gated(monkeypatch):
    """``activation=identity`` stands for gates as long as a test takes."""
    option = dataclasses.replace(GROUPS["activation"]["identity"], code=f"{__name__}:Gate")
    monkeypatch.setitem(GROUPS["activation"], "identity", option)


def _accuracy(network, split):
    with torch.no_grad():
        return float((network(split.pixels()).argmax(1) == split.labels).double().mean())


@pytest.mark.usefixtures("gated", "without_figures")
def test_what_is_judged_is_the_hard_network(tmp_path):
    run = tmp_path / "run"
    overrides = (*TINY, "activation=identity", "attack.names=[ddn]", "dataset.validation=0.3")
    outcome = launch(*overrides, f"hydra.run.dir={run}")
    assert outcome.code == 0, outcome.output
    loaded = load_run(run, "last")
    splits, model = load_splits(loaded.config.images, loaded.config.seed), loaded.model
    assert [type(layer) for layer in model if isinstance(layer, Gate)] == [Gate] * 3
    assert not any(isinstance(layer, Gate) for layer in to_plain(model))
    last = table(run / "metrics.csv")[-1]
    hard, soft = _accuracy(to_plain(model), splits.validation), _accuracy(model, splits.validation)
    assert float(last["validation_clean_accuracy"]) == pytest.approx(hard)
    assert hard != soft
    gates = [layer for layer in model.modules() if isinstance(layer, Gate)]
    regularizer = sum(float(gate.regularizer().detach()) for gate in gates)
    assert float(last["train_regularizer"]) == pytest.approx(regularizer, rel=1e-5)
    found = results(run)
    assert found["clean_accuracy"] == _accuracy(to_plain(load_run(run).model), splits.test)
    for command in ("evaluate", "export"):
        outcome = launch(
            f"task={command}", f"run={run}", *["task.onnx=false"] * (command == "export"),
            f"hydra.run.dir={tmp_path / command}",
        )  # fmt: skip
        assert outcome.code == 0, outcome.output
        assert results(tmp_path / command)["certified_accuracy"] == found["certified_accuracy"]
    assert certify([str(tmp_path / "export")]) == 0
