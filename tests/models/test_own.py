"""Networks of a user's own code: trained here or elsewhere, certified, attacked, or refused."""

import json
import re

import pytest
import torch
from launching import launch

from lipnet import load_run
from lipnet.cli.arguments import prepare
from lipnet.errors import UserError
from lipnet.models import build_model
from lipnet.options import plugins
from lipnet.options.defaults import completed
from lipnet.options.facts import inputs_and_outputs
from lipnet.options.parse import parse
from lipnet.runs.safetensors import write_safetensors

NETWORKS = """
import torch
from torch import nn
from lipnet.layers import MaxMin, OrthogonalLinear


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(64, 10)

    def forward(self, x):
        return self.out(nn.functional.max_pool2d(torch.relu(self.conv(x)), 2).flatten(1))


class Strange(Net):
    def forward(self, x):
        return super().forward(x).softmax(1)


def net():
    return Net()


def strange():
    return Strange()


def layers(input_shape, outputs):
    return nn.Sequential(nn.Flatten(), OrthogonalLinear(64, 16), MaxMin(), OrthogonalLinear(16, outputs))


def no_network():
    return 3


def too_few():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def other_size():
    return nn.Sequential(nn.Flatten(), nn.Linear(100, 10))


def broken():
    raise RuntimeError("no licence")
"""
FEW = [
    "dataset.limit_test=16",
    "attack.names=[pgd]",
    "attack.steps=2",
    "attack.restarts=1",
    "progress=off",
    "threads=1",
]


@pytest.fixture
def weights(own_module, tmp_path):
    """Writes the code, and weights of ``net`` in every way in which they may be saved; returns these."""
    own_module("my_net", NETWORKS)
    plugins.load_plugins(["my_net"])
    import my_net

    state = my_net.net().state_dict()
    torch.save(state, "plain.pt")
    torch.save({"state_dict": state, "epoch": 3}, "nested.pt")
    write_safetensors(tmp_path / "w.safetensors", state)
    torch.save({"out.weight": torch.zeros(10, 64)}, "other.pt")
    torch.save({name: tensor * float("nan") for name, tensor in state.items()}, "nan.pt")
    (tmp_path / "broken.pt").write_bytes(b"x")
    (tmp_path / "broken.safetensors").write_bytes(b"x" * 20)
    return state


@pytest.mark.parametrize("file", ["plain.pt", "nested.pt", "w.safetensors"])
def test_a_network_trained_elsewhere_is_certified_and_attacked(file, weights, tmp_path, without_figures):
    words = ["task=evaluate", "model=module", "model.build=my_net:net", f"model.weights={file}", "hydra.run.dir=done"]
    done = launch(*words, *FEW)
    assert done.code == 0, done.output
    found = json.loads((tmp_path / "done" / "results.json").read_text())
    assert found["lipschitz_lower_bound"] <= found["lipschitz_upper_bound"]
    bound = float(torch.linalg.matrix_norm(weights["out.weight"], 2) * weights["conv.weight"].abs().sum())
    assert 0 < found["lipschitz_upper_bound"] < bound
    assert found["test_examples"] == 16


def test_one_of_modules_with_rules_is_trained_here(weights, tmp_path, without_figures):
    words = ["model=module", "model.build=my_net:layers", "dataset.limit_train=64", "epochs=1", "hydra.run.dir=done"]
    done = launch(*words, *FEW)
    assert done.code == 0, done.output
    assert "'plugins=[my_net]' task=evaluate" in done.output
    again = launch("plugins=[my_net]", "task=evaluate", "run=done", "hydra.run.dir=again", "progress=off")
    assert again.code == 0, again.output
    first, second = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("done", "again"))
    assert first["clean_accuracy"] == second["clean_accuracy"]
    assert load_run("done").config.plugins == ["my_net"]


EVALUATED = ["task=evaluate", "model=module"]
REFUSED = {
    "no function": (["model=module"], "model.build=null: model=module needs the function that returns the network"),
    "not as module:name": (["model=module", "model.build=my_net"], "model.build=my_net: model=module needs"),
    "no module": (["model=module", "model.build=my_nett:net"], "there is no module my_nett in .*; my_net is there"),
    "no run and no weights": ([*EVALUATED, "model.build=my_net:net"], "task=evaluate needs run=DIR"),
}
FAILING = {
    "no such function": (["model.build=my_net:nett"], "model.build=my_net:nett: AttributeError"),
    "no network": (["model.build=my_net:no_network"], "returns int, not an nn.Module"),
    "few outputs": (["model.build=my_net:too_few"], r"gives \(2, 3\) for two inputs, where \(2, 10\) belongs"),
    "another input": (["model.build=my_net:other_size"], r"fails on inputs of shape \(2, 1, 8, 8\)"),
    "broken": (["model.build=my_net:broken"], "RuntimeError: no licence"),
    "code without a rule": (["model.build=my_net:net"], r"no Lipschitz rule for Sequential.1 \(Net\); compose"),
    "no weights": (["model.build=my_net:net", "model.weights=x.pt", *EVALUATED], "x.pt: not a readable file"),
    "weights of another": (["model.build=my_net:net", "model.weights=other.pt", *EVALUATED], "do not fit"),
    "NaN": (["model.build=my_net:net", "model.weights=nan.pt", *EVALUATED], "holds NaN or infinity"),
    "no pt": (["model.build=my_net:net", "model.weights=broken.pt", *EVALUATED], "not a readable file of weights"),
    "no safetensors": (
        ["model.build=my_net:net", "model.weights=broken.safetensors", *EVALUATED], "not a readable safetensors file",
    ),
    "a node without a rule": (
        ["model.build=my_net:strange", "model.weights=plain.pt", *EVALUATED],
        r"Nor can it be read as a graph: Strange: node softmax \(softmax\): no rule is known for it",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("words", "said"), REFUSED.values(), ids=REFUSED)
def test_a_mistake_is_said_before_anything_starts(words, said, weights):
    with pytest.raises(UserError, match=said):
        prepare(words)


@pytest.mark.parametrize(("words", "said"), FAILING.values(), ids=FAILING)
def test_what_cannot_be_proved_is_one_message(words, said, weights):
    failed = launch("model=module", *words, *FEW, "hydra.run.dir=done")
    assert failed.code == 1
    assert "Traceback" not in failed.output
    assert re.search(said, failed.output.strip().splitlines()[-1])


def test_a_run_does_not_import_what_it_names(weights, monkeypatch):
    monkeypatch.setattr(plugins, "_LOADED", {})
    own = {"name": "module", "build": "my_net:layers", "weights": None}
    config = parse(completed({"model": own, "eval_radii": ["0.1"], "loss": {"name": "margin", "epsilon": 0.5}}))
    with pytest.raises(UserError, match=r"never imported by itself; add plugins=\[my_net\]"):
        build_model(config, *inputs_and_outputs(config.dataset))
