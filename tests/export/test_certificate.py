import hashlib
import json

import pytest
import torch
from torch import nn

from lipnet.certify import assured, lipschitz_bound
from lipnet.export import certify_export, describe, exported_state
from lipnet.export.certificate import (
    file_hash,
    fingerprint,
    layer_bounds,
    preprocessing,
    probe,
    sealed,
    split_constants,
    with_constants,
)
from lipnet.layers import Normalize

SHAPE = (2,)


def _linear(matrix):
    layer = nn.Linear(2, 2)
    layer.weight.data, layer.bias.data = torch.tensor(matrix), torch.tensor([1.0, 0.0])
    return layer


@pytest.fixture
def network():
    return nn.Sequential(_linear([[3.0, 0.0], [0.0, 1.0]]), nn.ReLU(), _linear([[0.0, 2.0], [2.0, 0.0]])).eval()


def test_what_is_claimed_of_a_network(network, tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"weights")
    (tmp_path / "mine.txt").write_bytes(b"not spoken of")
    layers, state = describe(network), exported_state(network)
    certificate = certify_export(tmp_path, layers, state, SHAPE)
    assert certificate["lipschitz_upper_bound"] == pytest.approx(6.0, rel=1e-6)
    assert certificate["input"] == {"shape": [2], "dtype": "float32", "mean": None, "std": None}
    assert certificate["outputs"] == 2
    assert [layer["type"] for layer in certificate["layers"]] == ["Linear", "ReLU", "Linear"]
    assert [layer["lipschitz_upper_bound"] for layer in certificate["layers"]] == pytest.approx([3, 1, 2], rel=1e-6)
    assert certificate["weights"] == {name: fingerprint(tensor) for name, tensor in state.items()}
    assert certificate["files"] == {"weights.pt": hashlib.sha256(b"weights").hexdigest()}
    assert "assured" not in certificate


def test_the_probe_by_hand(network):
    """The inputs are frac(k φ), k = 1, 2, with φ the golden ratio less 1."""
    first, second = 0.6180339887498949, 2 * 0.6180339887498949 - 1
    assert probe(network, SHAPE) == pytest.approx([2 * second + 1, 2 * (3 * first + 1)], rel=1e-12)
    assert layer_bounds(network, SHAPE) == pytest.approx([3, 1, 2], rel=1e-6)


def test_the_first_layers_normalization_is_told():
    network = nn.Sequential(Normalize([0.25, 0.5], [0.5, 2.0]), nn.Flatten())
    assert preprocessing(describe(network), exported_state(network)) == ([0.25, 0.5], [0.5, 2.0])
    behind = nn.Sequential(nn.ReLU(), Normalize([0.25], [0.5]))
    assert preprocessing(describe(behind), exported_state(behind)) == (None, None)
    assert preprocessing([], {}) == (None, None)


def test_constants_travel_with_the_weights_and_are_told_apart(network, tmp_path):
    deployed = assured(network, SHAPE, torch.rand(4, 2))
    weights = exported_state(network)
    state = with_constants(weights, deployed)
    found, constants = split_constants(state)
    assert found.keys() == weights.keys()
    assert constants["shape"].tolist() == [2]
    assert constants.keys() == {"shape", *dict(deployed.named_buffers(recurse=False))}
    assert split_constants(weights) == (weights, {})
    certificate = certify_export(tmp_path, describe(network), state, SHAPE)
    assert certificate["assured"] is True
    assert certificate["lipschitz_upper_bound"] == lipschitz_bound(network, SHAPE)


def test_fingerprints_are_of_numbers_in_their_order(tmp_path):
    tensor = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    digest = hashlib.sha256(b"".join(bytes.fromhex(text) for text in ("0000803f", "00000040", "00004040", "00008040")))
    assert fingerprint(tensor) == {"shape": [2, 2], "dtype": "float32", "sha256": digest.hexdigest()}
    assert fingerprint(tensor.mT.contiguous().mT) == fingerprint(tensor)
    assert fingerprint(tensor.mT)["sha256"] != fingerprint(tensor)["sha256"]
    (tmp_path / "file").write_bytes(b"abc")
    assert file_hash(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_seal_is_of_the_sorted_json_without_it():
    certificate = {"b": 1, "a": [0.5]}
    found = sealed(certificate)
    assert found == certificate | {"sha256": hashlib.sha256(b'{"a":[0.5],"b":1}').hexdigest()}
    assert sealed(found) == found
    assert sealed(found | {"b": 2})["sha256"] != found["sha256"]
    with pytest.raises(ValueError, match="JSON"):
        sealed({"a": float("nan")})
    json.dumps(found)
