"""Whatever is changed in an export is found, from its files alone."""

import contextlib
import json
import shutil

import pytest
import torch
from forging import certificate_of, change_weights, edit, flip, forge_weights
from torch import nn

from lipnet.certify.plain import to_plain
from lipnet.errors import UserError
from lipnet.export import certify_export, describe, exported_state, verify
from lipnet.export.__main__ import main
from lipnet.export.certificate import sealed
from lipnet.export.source import network_source
from lipnet.layers import BCOPConv2d, MaxMin, Normalize, OrthogonalLinear

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small network as an export leaves it; the bytes of its ONNX file are compared, and never read."""
    directory = tmp_path_factory.mktemp("verification")
    torch.manual_seed(0)
    network = nn.Sequential(
        Normalize([0.0], [1.0]), BCOPConv2d(1, 4, 4, 2), MaxMin(), BCOPConv2d(4, 4, 4, 2), MaxMin(),
        nn.Flatten(), OrthogonalLinear(16, 8), MaxMin(), OrthogonalLinear(8, 10),
    )  # fmt: skip
    plain = to_plain(network)
    layers, state = describe(plain), exported_state(plain)
    torch.save(state, directory / "weights.pt")
    (directory / "network.py").write_text(network_source(layers))
    (directory / "network.onnx").write_bytes(bytes(1000))
    certificate = certify_export(directory, layers, state, SHAPE) | {"radii": {"clean_accuracy": 0.5}}
    (directory / "certificate.json").write_text(json.dumps(sealed(certificate)))
    return directory


@pytest.fixture
def copy(exported, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(exported, tmp_path / "copy")


def test_an_untouched_export_holds(exported):
    verified = verify(exported)
    assert verified == verify(exported / "certificate.json")
    assert (verified.bound, verified.assured) == (verified.claimed, False)
    assert verified.files == ["weights.pt", "network.py", "network.onnx"]
    names, kinds, bounds = zip(*verified.layers, strict=True)
    assert names == tuple("012345678")
    assert (kinds[0], kinds[1], kinds[8]) == ("Normalize", "PaddedConv2d", "Linear")
    assert bounds == pytest.approx([1.0] * 9, abs=1e-5)


def _scale(state, name, factor=1.5):
    state[name] = state[name] * factor


def _rename(state, old, new):
    state[new] = state.pop(old)


def _fill(state, name, value):
    state[name].view(-1)[0] = value


CHANGES = {
    "a bit of the weights' file": (lambda path: flip(path / "weights.pt", 4000), "weights.pt: "),
    "the lowest bit of one weight": (
        change_weights(lambda state: state["1.1.weight"].view(torch.int32).view(-1).__setitem__(0, 1)),
        "1.1.weight: its",
    ),
    "a layer's weights": (change_weights(lambda state: _scale(state, "8.weight")), "lipschitz_upper_bound: 1.00"),
    "a layer's bound, too": (change_weights(lambda state: _scale(state, "8.weight")), "layer 8, Linear: bound 1.00"),
    "a renamed layer": (change_weights(lambda state: _rename(state, "8.weight", "9.weight")), "9.weight: weights.pt"),
    "a missing layer": (change_weights(lambda state: state.pop("6.bias")), "6.bias: the certificate speaks of it"),
    "the mean": (
        change_weights(lambda state: _fill(state, "0.mean", 0.5)), "input.mean: [0.0] is stated, the weights hold",
    ),
    "the std": (change_weights(lambda state: _fill(state, "0.std", 0.5)), "lipschitz_upper_bound: 1.00"),
    "the stated mean": (edit(lambda text: text["input"].update(mean=[0.5])), "input.mean: [0.5] is stated"),
    "the stated std": (edit(lambda text: text["input"].update(std=[2.0])), "input.std: [2.0] is stated"),
    "a lower bound": (edit(lambda text: text.update(lipschitz_upper_bound=0.99)), "lipschitz_upper_bound: 0.99 is"),
    "a lower bound of a layer": (edit(lambda text: text["layers"][1].update(lipschitz_upper_bound=0.9)), "bound 0.9"),
    "a layer without a bound": (edit(lambda text: text["layers"][1].pop("lipschitz_upper_bound")), "bound None"),
    "an accuracy": (edit(lambda text: text["radii"].update(clean_accuracy=1.0), seal=False), "it was edited after"),
    "an activation": (edit(lambda text: text["layers"][7].update(type="Abs")), "probe: "),
    "a stride": (edit(lambda text: text["layers"][1].update(stride=1)), "do not fit each other"),
    "an input shape": (edit(lambda text: text["input"].update(shape=[1, 12, 12])), "do not fit each other"),
    "no input shape": (edit(lambda text: text["input"].update(shape="big")), "do not fit each other"),
    "a layer of code": (edit(lambda text: text["layers"][2].update(type="subprocess.Popen")), "layer 2 is not"),
    "forged weights": (forge_weights(lambda state: _scale(state, "8.weight")), "lipschitz_upper_bound: 1.00"),
    "forged weights below the bound": (forge_weights(lambda state: _scale(state, "8.weight", 0.5)), "probe: "),
    "a forged mean": (forge_weights(lambda state: _fill(state, "0.mean", 0.5)), "input.mean: [0.0]"),
    "NaN weights": (
        change_weights(lambda state: _fill(state, "6.weight", float("nan"))), "6.weight holds NaN or infinity",
    ),
    "no tensors": (lambda path: torch.save({"6.weight": 1.0}, path / "weights.pt"), "is no tensor with a name"),
    "no dict": (lambda path: torch.save(torch.ones(2), path / "weights.pt"), "holds no weights"),
    "truncated weights": (lambda path: _truncate(path / "weights.pt"), "not a readable file of weights"),
    "no weights": (lambda path: (path / "weights.pt").unlink(), "not a readable file of weights"),
    "code in the weights": (lambda path: torch.save({"6.weight": _Malicious()}, path / "weights.pt"), "not a readable"),
    "ONNX": (lambda path: flip(path / "network.onnx", 900), "network.onnx: it was changed"),
    "torch code": (lambda path: flip(path / "network.py", 900), "network.py: it was changed"),
    "another file of the machine": (
        edit(lambda text: text["files"].update({"../../etc/passwd": "0"})), "files: ../../etc/passwd is none of",
    ),
    "no hash of the weights": (edit(lambda text: text["files"].pop("weights.pt")), "files: weights.pt is missing"),
    "NaN in the certificate": (
        lambda path: (path / "certificate.json").write_text('{"format": NaN}'), "not JSON (it holds NaN)",
    ),
    "half a certificate": (lambda path: _truncate(path / "certificate.json"), "not JSON ("),
    "nested brackets": (lambda path: (path / "certificate.json").write_text("[" * 100_000), "not JSON ("),
    "bytes": (lambda path: (path / "certificate.json").write_bytes(b"\xff\xfe\x00"), "not JSON ("),
    "another JSON": (lambda path: (path / "certificate.json").write_text("[1]"), "not a certificate of this version"),
    "a later format": (edit(lambda text: text.update(format=2)), "not a certificate of this version"),
    "a text for layers": (edit(lambda text: text.update(layers="none")), "not a certificate of this version"),
    "no certificate": (lambda path: (path / "certificate.json").unlink(), "cannot be read (No such file"),
}  # fmt: skip


class _Malicious:
    def __reduce__(self):
        return (print, ("code ran",))


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_is_found(copy, capsys, change):
    apply, message = CHANGES[change]
    apply(copy)
    with pytest.raises(UserError) as caught:
        verify(copy)
    assert message in str(caught.value)
    assert "code ran" not in capsys.readouterr().out


def test_every_byte_of_the_certificate_counts(copy):
    """A flipped bit anywhere is found, or leaves the JSON as it was (a space for another)."""
    path = copy / "certificate.json"
    original, content = path.read_bytes(), certificate_of(copy)
    for place in range(7, len(original), 97):
        flip(path, place)
        try:
            same = json.loads(path.read_bytes()) == content
        except ValueError:
            same = False
        with contextlib.nullcontext() if same else pytest.raises(UserError):
            verify(copy)
        path.write_bytes(original)


def test_a_path_without_a_certificate_is_no_broken_one(tmp_path, capsys):
    for path in (tmp_path, tmp_path / "nowhere" / "certificate.json"):
        assert main([str(path)]) == 1
        assert f"{path}: no certificate there" in capsys.readouterr().err
