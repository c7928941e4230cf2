"""An assured export: torch code and ONNX give float64's predictions, and its constants cannot be made smaller."""

import importlib.util
import json
import shutil
import sys
from types import SimpleNamespace

import onnxruntime
import pytest
import torch
from forging import edit, forge_weights
from launching import ROOT, finished_run, launch, results
from torch import nn

from lipnet import load_run, to_plain
from lipnet.certify import assured
from lipnet.certify.assured import assured_constants
from lipnet.data.images import load_splits
from lipnet.errors import UserError
from lipnet.export import describe, exported_state, rebuild
from lipnet.export.__main__ import main
from lipnet.export.certificate import split_constants, with_constants
from lipnet.export.onnx_file import write_onnx
from lipnet.export.source import network_source
from lipnet.export.verification import _compare_constants
from lipnet.layers import (
    Abs,
    ChannelShuffle,
    Concat,
    GroupSort,
    LinearSpline,
    MaxMin,
    Mirrored,
    Normalize,
    PaddedConv2d,
    Residual,
)  # fmt: skip
from lipnet.models.choices import activation
from lipnet.options.defaults import completed
from lipnet.options.registry import GROUPS

sys.path.insert(0, str(ROOT / "scripts" / "stress"))
import attack_assured


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    directory = tmp_path_factory.mktemp("assured") / "exported"
    outcome = launch("task=export", "task.assured=true", f"run={run}", f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.output
    return directory


@pytest.fixture
def copy(exported, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(exported, tmp_path / "copy")


def _code(directory):
    spec = importlib.util.spec_from_file_location("network", directory / "network.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load()


def _onnx(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = ["logits", "evaluated_again"]
    return lambda images: [torch.from_numpy(array) for array in session.run(names, {"images": images.numpy()})]


@torch.no_grad()
def test_code_and_onnx_predict_as_float64_at_the_switch(run, exported):
    network, onnx = _code(exported), _onnx(exported / "network.onnx")
    loaded = load_run(run)
    exact, images = to_plain(loaded.model).double(), load_splits(loaded.config.dataset, 0).test.pixels()
    deployed = assured(loaded.model, images.shape[1:])
    points = attack_assured.points_at_the_switch(deployed, exact, images, torch.Generator().manual_seed(0))
    classes, proved = attack_assured.proved(exact, points)
    points, classes = points[proved], classes[proved]
    for answer in (network.answer, onnx):
        logits, again = answer(points)
        assert torch.equal(logits.argmax(1), classes)
        assert logits.dtype is torch.float64
        assert 0 < int(again.sum()) < len(points)
        assert not answer(images[:1])[1].any() or answer(images)[1].sum() < len(images)
    assert bool((to_plain(loaded.model)(points).argmax(1) != classes).any())


def test_the_code_needs_no_lipnet(exported):
    network = _code(exported)
    assert "lipnet" not in {type(part).__module__.partition(".")[0] for part in network.modules()}
    text = (exported / "network.py").read_text()
    assert not [line for line in text.splitlines() if "import" in line and "lipnet" in line]


def test_the_export_says_what_holds(run, exported, capsys):
    certificate = json.loads((exported / "certificate.json").read_text())
    assert certificate["assured"] is True
    assert certificate["radii"]["hold_for"].startswith("the assured network")
    assert certificate["radii"]["certified_accuracy"] == results(run)["certified_accuracy"]
    assert 0 <= results(exported)["evaluated_again"] <= 0.05
    assert main([str(exported)]) == 0
    assert "assured: " in capsys.readouterr().out


def _activation(name, channels):
    keys = completed({"activation": {"name": name}})["activation"]
    return activation(SimpleNamespace(activation=GROUPS["activation"][name].keys(**keys)), channels)


def _with_activations(features, channels):
    yield nn.Flatten()
    for name in GROUPS["activation"]:
        yield nn.Linear(features, channels)
        yield _activation(name, channels)
        features = channels


def _uneven_spline(channels):
    """With a grid of which float32 holds no number but 0."""
    spline = LinearSpline(channels, knots=12, range=0.7)
    with torch.no_grad():
        spline.values.add_(0.05 * torch.randn_like(spline.values))
    return spline


LAYERS = {  # every type of layer that a classifier may have
    "convolutions": (
        nn.Sequential(
            Normalize([0.3, 0.4], [0.2, 0.5]), nn.ZeroPad2d((1, 2, 1, 2)), nn.Upsample(scale_factor=2, mode="nearest"),
            PaddedConv2d(2, 4, 4, stride=2, padding_mode="circular"), MaxMin(),
            PaddedConv2d(4, 8, 3, groups=2, bias=False, padding_mode="zeros"), GroupSort(4),
            PaddedConv2d(8, 8, 3, dilation=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 121, 6), nn.Identity(), Abs(),
            nn.Linear(6, 3, bias=False),
        ),
        (2, 8, 8),
    ),
    "blocks": (
        nn.Sequential(
            Residual(nn.Sequential(PaddedConv2d(2, 4, 3), MaxMin(), PaddedConv2d(4, 2, 3)), PaddedConv2d(2, 2, 1)),
            Concat(nn.ZeroPad2d(1), nn.Sequential(nn.ReLU(), nn.ZeroPad2d(1))), nn.Flatten(),
            Residual(nn.Linear(144, 144)), nn.Unflatten(1, (4, 6, 6)),
            Mirrored(nn.Sequential(PaddedConv2d(4, 4, 3), nn.Flatten())), nn.Linear(144, 3),
        ),
        (2, 4, 4),
    ),
    "vectors": (
        nn.Sequential(
            ChannelShuffle([2, 0, 1], [1, -1, 1]), *_with_activations(12, 24), _uneven_spline(24), nn.Linear(24, 3)
        ),
        (3, 2, 2),
    ),
}  # fmt: skip


# Few networks of many layers: an export takes seconds, and each layer is evaluated again whatever stands beside it.
@pytest.mark.parametrize(("name", "narrow"), [("convolutions", False), ("blocks", True), ("vectors", False)])
@torch.no_grad()
def test_every_layer_is_evaluated_again_as_in_float64(tmp_path, name, narrow):
    network, shape = LAYERS[name]
    network, images = network.eval().requires_grad_(False), torch.rand(5, *shape)
    deployed = assured(network, shape, None if narrow else images, at_most=-1.0)
    assert int(deployed.narrow) == (len(deployed.network) if narrow else deployed.rounds.index(True))
    deployed.offset.fill_(1e9)  # nothing is settled
    write_onnx(tmp_path / "network.onnx", deployed, shape)
    (tmp_path / "network.py").write_text(network_source(describe(deployed.network), assured=True))
    torch.save(with_constants(exported_state(deployed.network), deployed), tmp_path / "weights.pt")
    exact = to_plain(network).double()(images.double())
    for answer in (_code(tmp_path).answer, _onnx(tmp_path / "network.onnx")):
        logits, again = answer(images)
        assert again.all()
        torch.testing.assert_close(logits, exact, rtol=0, atol=1e-12)
    single = _onnx(tmp_path / "network.onnx")(images[:1])[0]
    torch.testing.assert_close(single, exact[:1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))  # with some weights the last layer holds the largest number on the way
def test_the_deployed_network_proves_the_very_constants(seed):
    torch.manual_seed(seed)
    shuffled = nn.Sequential(ChannelShuffle([2, 0, 1], [1, -1, 1]), nn.Flatten(), nn.Linear(12, 3))
    deployed = assured(shuffled.eval().requires_grad_(False), (3, 2, 2))
    weights, constants = split_constants(with_constants(exported_state(deployed.network), deployed))
    found = assured_constants(rebuild(describe(deployed.network), weights), (3, 2, 2), int(deployed.narrow))
    for name, value in found.items():
        assert torch.equal(value, constants[name]), name


def test_the_order_of_a_shuffle_need_not_be_float32():
    """It is no number that is computed with."""
    network, shape = LAYERS["vectors"]
    deployed = assured(network.eval().requires_grad_(False), shape)
    weights, constants = split_constants(with_constants(exported_state(deployed.network), deployed))
    problems = []
    _compare_constants(rebuild(describe(deployed.network), weights), constants, shape, problems)
    assert problems == []
    wide = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    _compare_constants(rebuild(describe(deployed.network), wide), constants, shape, problems)
    assert problems[0].endswith("weights are float32.")


def _scaled(name, factor):
    return forge_weights(lambda state: state[f"assured.{name}"].mul_(factor))


def _set(name, value):
    return _rehashed(lambda state: state.update({f"assured.{name}": value}))


def _rehashed(change):
    """Changes the weights' file, and makes the certificate say the same of every tensor that is there."""

    def apply(directory):
        from lipnet.export.certificate import file_hash, fingerprint

        path = directory / "weights.pt"
        state = torch.load(path, weights_only=True)
        change(state)
        torch.save(state, path)
        tensors = {name: fingerprint(tensor) for name, tensor in state.items()}
        hashes = {path.name: file_hash(path)}
        edit(lambda text: (text.update(weights=tensors), text["files"].update(hashes)))(directory)

    return apply


def _widen(state):
    state.update({name: tensor.double() for name, tensor in state.items() if not name.startswith("assured.")})


CHANGES = {
    "smaller slopes": (_scaled("slopes", 0.999), "assured.slopes: "),
    "one smaller slope": (_rehashed(lambda state: state["assured.slopes"][1].mul_(0.5)), "assured.slopes: "),
    "no slopes": (_scaled("slopes", 0.0), "assured.slopes: "),
    "negative slopes": (_scaled("slopes", -1.0), "assured.slopes: "),
    "a smaller offset": (_scaled("offset", 0.5), "assured.offset: "),
    "a larger norm": (_scaled("largest", 2.0), "assured.largest: "),
    "fewer slopes": (_set("slopes", torch.ones(2, dtype=torch.float64)), "assured.slopes: missing, or not"),
    "coarse slopes": (_set("slopes", torch.ones(9)), "assured.slopes: missing, or not"),
    "a missing constant": (_rehashed(lambda state: state.pop("assured.offset")), "assured.offset: missing"),
    "a constant too many": (_set("trust", torch.ones(1)), "assured.trust: no constant"),
    "another shape": (_set("shape", torch.tensor([1, 16, 16])), "assured.shape: [1, 16, 16] is stated"),
    "more layers in float32": (_set("narrow", torch.tensor(10)), "assured.narrow: missing, or no whole number"),
    "part of a layer": (_set("narrow", torch.tensor(1.5)), "assured.narrow: missing, or no whole number"),
    "weights of float64": (_rehashed(_widen), "weights are float32"),
    "weights alone": (
        _rehashed(lambda state: [state.pop(name) for name in list(state) if name.startswith("assured")]),
        "assured: True is stated",
    ),
    "no word of it": (edit(lambda text: text.pop("assured")), "assured: None is stated"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_changed_constants_are_found(copy, capsys, name):
    apply, message = CHANGES[name]
    apply(copy)
    assert main([str(copy)]) == 1
    assert message in capsys.readouterr().err


def test_larger_constants_are_allowed(copy):
    """They cost second passes, no certificate."""
    _scaled("slopes", 2.0)(copy)
    _scaled("offset", 2.0)(copy)
    assert main([str(copy)]) == 0


def test_a_critic_cannot_be_assured(make_config):
    with pytest.raises(UserError, match=r"task\.assured=true: a critic of dataset=absolute_value predicts no class"):
        make_config("task=export", "task.assured=true", "run=somewhere", "dataset=absolute_value")
