"""Gradients of single examples while a network trains: their norms, when they are taken, and what a run leaves."""

import math

import pytest
import torch
from launching import GAN, PAIR, TINY, events, launch, outcome_of, table
from torch import nn

from lipnet.certify import lipschitz_bound, margins
from lipnet.layers import (
    BCOPConv2d,
    L2NEConv2d,
    LinearSpline,
    MaxMin,
    OrthogonalLinear,
    OSSNConv2d,
    PaddedConv2d,
    RKOConv2d,
    SVCMConv2d,
)
from lipnet.options.registry import GROUPS
from lipnet.runs.identity import digest
from lipnet.runs.load import new_model
from lipnet.tasks import driver
from lipnet.tasks.driver import Tracked, track_gradients
from lipnet.tasks.per_example import (
    Function,
    Norms,
    Probe,
    critic_probe,
    gradient_norms,
    gradients_figure,
    show_gradients,
)
from lipnet.tasks.private.task import Private
from lipnet.training.tracker import Tracker

EXAMPLES, LABELS = 6, torch.arange(6) % 4


def convolutional(conv, **options):
    """Two convolutions, the second strided, and two linear layers."""
    return nn.Sequential(
        conv(2, 4, 3, **options), MaxMin(), BCOPConv2d(4, 8, 2, stride=2), MaxMin(), nn.Flatten(),
        OrthogonalLinear(72, 8), MaxMin(), OrthogonalLinear(8, 4),
    ).eval()  # fmt: skip


NETWORKS = {
    "bcop": lambda: convolutional(BCOPConv2d),
    "rko": lambda: convolutional(RKOConv2d),
    "l2ne": lambda: convolutional(L2NEConv2d),
    "ossn": lambda: convolutional(OSSNConv2d, image_size=6),
    "svcm": lambda: convolutional(SVCMConv2d, image_size=6),
    "plain": lambda: convolutional(PaddedConv2d),
}
OF_LABELS = {
    "logit": Function(lambda logits: logits.gather(1, LABELS[:, None])[:, 0]),
    "margin": Function(lambda logits: margins(logits, LABELS), math.sqrt(2)),
}


def images():
    return torch.rand(EXAMPLES, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def one_at_a_time(network, inputs, value):
    """The norms at the input, and of the last layer's weight as it is."""
    weight = network[-1].weight.detach().clone().requires_grad_()
    bias = network[-1].bias
    at_input, by_weight = [], []
    for number, image in enumerate(inputs):
        image = image[None].clone().requires_grad_()
        outputs = nn.functional.linear(network[:-1](image), weight, bias)
        gradients = torch.autograd.grad(value(outputs, number), [image, weight])
        at_input.append(float(gradients[0].norm()))
        by_weight.append(float(gradients[1].norm()))
    return at_input, by_weight


def margin_of(outputs, number):
    label = int(LABELS[number])
    return outputs[0, label] - max(outputs[0, other] for other in range(4) if other != label)


@pytest.mark.parametrize("name", NETWORKS)
def test_norms_are_those_of_one_example_at_a_time(name):
    network, inputs = NETWORKS[name](), images()
    with torch.no_grad():  # as in validation
        norms = gradient_norms(Probe(network, inputs, OF_LABELS))
    at_input, by_weight = one_at_a_time(network, inputs, margin_of)
    assert norms.inputs["margin"].tolist() == pytest.approx(at_input, rel=1e-4)
    assert norms.weights["7_OrthogonalLinear"].tolist() == pytest.approx(by_weight, rel=1e-4)
    at_input, _ = one_at_a_time(network, inputs, lambda outputs, number: outputs[0, LABELS[number]])
    assert norms.inputs["logit"].tolist() == pytest.approx(at_input, rel=1e-4)
    assert list(norms.weights) == [f"{place}_{type(network[place]).__name__}" for place in (0, 2, 5, 7)]
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "plain"])
def test_no_gradient_of_a_constrained_network_is_longer_than_its_bound(name):
    norms = gradient_norms(Probe(NETWORKS[name](), images(), OF_LABELS))
    for function, values in norms.inputs.items():
        assert 0 < float(values.max()) <= OF_LABELS[function].slope * (1 + 1e-5)


def test_the_gradient_of_an_orthogonal_critic_has_norm_1():
    """No layer widens: one that does takes from a gradient on its way back what lies outside of its range."""
    critic = nn.Sequential(
        BCOPConv2d(2, 2, 3), MaxMin(), nn.Flatten(), OrthogonalLinear(72, 8), MaxMin(), OrthogonalLinear(8, 1)
    ).eval()
    norms = gradient_norms(critic_probe(critic, images()))
    assert norms.inputs["critic"].tolist() == pytest.approx([1] * EXAMPLES, rel=1e-5)


def test_biases_and_activations_are_no_layers():
    network = nn.Sequential(nn.Linear(3, 4), nn.PReLU(4), LinearSpline(4), nn.Linear(4, 1)).eval()
    norms = gradient_norms(critic_probe(network, torch.rand(5, 3)))
    assert [name for name in norms.weights if "Linear" in name and "Spline" not in name] == ["0_Linear", "3_Linear"]
    assert "1_PReLU" not in norms.weights


@pytest.mark.parametrize(
    ("overrides", "epochs"),
    [
        ((), []),
        (("diagnostics.every=1",), []),
        (("diagnostics.per_example=true",), [5, 7]),
        (("diagnostics.per_example=true", "diagnostics.every=3"), [3, 6, 7]),
        (("diagnostics.per_example=true", "diagnostics.every=9"), [7]),
        (("diagnostics.per_example=true", "diagnostics.every=7"), [7]),
    ],
)
def test_when_gradients_are_taken(make_session, monkeypatch, overrides, epochs):
    """Where none are asked for, nothing is computed."""
    taken = []
    monkeypatch.setattr(driver, "show_gradients", lambda probe, bound, directory, tracker, epoch: taken.append(epoch))
    task = GROUPS["task"]["robustness"].load()(make_session("epochs=7", "dataset.limit_train=30", *overrides))
    model = new_model(task.config).eval()
    for epoch in range(1, 8):
        track_gradients(task, model, epoch, None)
    assert taken == epochs


# task, what it is composed with, how many examples are asked for, what is found
PROBES = [
    (("dataset.limit_train=30",), 7, 7, ["logit", "margin"]),
    (("dataset.limit_train=30", "dataset.validation=0"), 50, 30, ["logit", "margin"]),
    (("task=wasserstein", "dataset=cone", "dataset.selection_samples=5"), 7, 7, ["critic"]),
    (("task=wasserstein", "dataset=cone", "dataset.selection_samples=5"), 1, 1, ["critic"]),
    (("task=wasserstein", "dataset=cone", "dataset.selection_samples=5"), 99, 10, ["critic"]),
    (GAN, 7, 7, ["critic"]),
    (GAN, 1, 1, ["critic"]),
]


@pytest.mark.parametrize(("overrides", "asked", "found", "functions"), PROBES)
def test_what_gradients_are_taken_of(make_session, overrides, asked, found, functions):
    session = make_session(*overrides)
    task = GROUPS["task"][session.config.task.name].load()(session)
    model = new_model(session.config).eval()
    with torch.no_grad():
        probe = task.probe(model, asked)
        norms = gradient_norms(probe)
    assert list(probe.functions) == functions
    assert {len(values) for values in norms.by_tag().values()} == {found}
    bound = lipschitz_bound(probe.network, tuple(probe.inputs.shape[1:]))
    for name, values in norms.inputs.items():
        assert float(values.max()) <= probe.functions[name].slope * bound * (1 + 1e-5)


def test_of_private_training_there_are_none(make_session):
    task = Private(make_session("task=private", "task.public_validation=true"))
    assert task.probe(new_model(task.config), 5) is None


def test_the_table_goes_on_where_the_run_does(tmp_path):
    """Of an attempt that was stopped, the epochs that come again are replaced; a damaged table begins anew."""
    probe, tracker = critic_probe(nn.Linear(3, 1), torch.rand(4, 3)), Tracker(tmp_path)
    path = tmp_path / "per_example.csv"
    for epoch, kept in ((2, [2]), (4, [2, 4]), (6, [2, 4, 6]), (4, [2, 4])):
        show_gradients(probe, 1.0, tmp_path, tracker, epoch)
        assert [int(row["epoch"]) for row in table(path)] == [each for each in kept for _ in range(21)]
    path.write_bytes(b"epoch,a\n2,1\nx,\xff\n")
    show_gradients(probe, None, tmp_path, tracker, 6)
    rows = table(path)
    assert {row["epoch"] for row in rows} == {"6"}
    assert [float(row["quantile"]) for row in rows] == pytest.approx([number / 20 for number in range(21)])
    norm = float(probe.network.weight.detach().norm())
    assert [float(row["inputs/critic"]) for row in rows] == pytest.approx([norm] * 21, rel=1e-5)
    norms = gradient_norms(probe).weights["_Linear"]
    assert float(rows[0]["weights/_Linear"]) == pytest.approx(float(norms.min()), rel=1e-5)
    assert float(rows[-1]["weights/_Linear"]) == pytest.approx(float(norms.max()), rel=1e-5)


@pytest.mark.parametrize(
    ("norms", "bound", "drawn"),
    [([1.0, 0.9], 1.0, True), ([0.5, 0.4], 1.4, True), ([0.5, 0.4], 50.0, False), ([0.0, 0.0], 1.0, False),
     ([0.5, 0.4], None, False)],
)  # fmt: skip
def test_the_bound_is_drawn_where_it_is_near(norms, bound, drawn):
    values = torch.tensor(norms, dtype=torch.float64)
    figure = gradients_figure(Norms({"critic": values}, {"0_Linear": values}), {"critic": bound}, "title")
    histogram = figure.axes[0]
    assert [line.get_xdata()[0] for line in histogram.lines] == ([bound] if drawn else [])
    assert sum(patch.get_height() for patch in histogram.patches) == 2


def test_a_key_that_is_at_its_default_makes_no_other_run(make_config):
    plain, on = make_config(), make_config("diagnostics.per_example=true")
    assert digest(make_config("diagnostics.every=5", "diagnostics.per_example=false")) == digest(plain) != digest(on)


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("conv", ["bcop", "svcm"])
def test_a_run_that_is_looked_at_is_the_same_run(tmp_path, conv):
    found = {}
    for asked in ("false", "true"):
        run = tmp_path / asked
        outcome = launch(
            *TINY, f"conv={conv}", "attack.names=[]", "diagnostics.every=2", f"diagnostics.per_example={asked}",
            f"hydra.run.dir={run}",
        )  # fmt: skip
        assert outcome.code == 0, outcome.output
        assert ("per_example.png" in outcome.output) == (asked == "true")
        found[asked] = {key: value for key, value in outcome_of(run).items() if "configuration" not in key}
    assert found["true"] == found["false"]
    assert not list((tmp_path / "false").glob("per_example*"))
    assert sorted({row["epoch"] for row in table(tmp_path / "true" / "per_example.csv")}) == ["2", "3"]
    assert (tmp_path / "true" / "per_example.png").stat().st_size > 1000
    tags, before = events(tmp_path / "true").Tags(), events(tmp_path / "false").Tags()
    assert "per_example/gradients" in tags["images"]
    assert {"per_example/inputs/logit", "per_example/inputs/margin"} <= set(tags["histograms"])
    assert sum(tag.startswith("per_example/weights/") for tag in tags["histograms"]) == 4
    assert not any("per_example" in tag for kind in ("images", "histograms") for tag in before[kind])


@pytest.mark.usefixtures("without_figures")
def test_a_critic_that_is_looked_at(tmp_path):
    outcome = launch(*PAIR, "diagnostics.per_example=true", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.output
    assert "left out" not in outcome.output
    rows = table(tmp_path / "per_example.csv")
    assert all(float(row["inputs/critic"]) <= 1 + 1e-5 for row in rows)
    assert "per_example/inputs/critic" in events(tmp_path).Tags()["histograms"]


def test_what_fails_ends_no_run(make_session, monkeypatch, caplog):
    monkeypatch.setattr(driver, "show_gradients", lambda *_: 1 / 0)
    task = GROUPS["task"]["robustness"].load()(
        make_session("epochs=1", "dataset.limit_train=30", "diagnostics.per_example=true", "singular_values_every=0")
    )
    Tracked(task, None).validate(new_model(task.config).eval(), 1)
    assert "per_example.csv, per_example.png: left out (ZeroDivisionError" in caplog.text
