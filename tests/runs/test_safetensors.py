import json

import pytest
import torch

from lipnet.errors import UserError
from lipnet.runs.safetensors import read_safetensors, write_safetensors

STATE = {
    "weight": torch.randn(3, 4), "wide": torch.randn(2, dtype=torch.float64), "half": torch.randn(2).bfloat16(),
    "count": torch.tensor(7), "mask": torch.tensor([True, False]), "none": torch.empty(0, 3),
    "bytes": torch.arange(5, dtype=torch.uint8),
}  # fmt: skip


def test_what_is_written_is_read_back(tmp_path):
    write_safetensors(tmp_path / "x.safetensors", STATE)
    found = read_safetensors(tmp_path / "x.safetensors")
    assert list(found) == list(STATE)
    for name, tensor in STATE.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_it_is_the_format_of_the_package(tmp_path):
    package = pytest.importorskip("safetensors.torch")
    ours, theirs = tmp_path / "x.safetensors", tmp_path / "y.safetensors"
    write_safetensors(ours, STATE)
    package.save_file(STATE, theirs)
    for found in (package.load_file(ours), read_safetensors(theirs)):
        assert found.keys() == STATE.keys()
        assert all(torch.equal(tensor, STATE[name]) for name, tensor in found.items())


def header(**entries):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text


def entry(dtype, shape, *offsets):
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


BAD = {
    "empty": b"",
    "cut off": b"1234",
    "a long header": (2**40).to_bytes(8, "little") + b"{}",
    "no JSON": header()[:8] + b"xx",
    "no table": (2).to_bytes(8, "little") + b"[]",
    "a type": header(a=entry("F8", [1], 0, 1)),
    "too few numbers": header(a=entry("F32", [2], 0, 8)) + b"1234",
    "beyond": header(a=entry("F32", [1], -4, 0)) + b"1234",
    "another size": header(a=entry("F32", [1], 0, 8)) + b"12345678",
    "no offsets": header(a={"dtype": "F32", "shape": [1]}),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_damaged_file_is_one_message(content, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not a readable safetensors file"):
        read_safetensors(tmp_path / "x.safetensors")


def test_a_missing_file_is_one_message(tmp_path):
    with pytest.raises(UserError, match="not a readable safetensors file"):
        read_safetensors(tmp_path / "x.safetensors")
