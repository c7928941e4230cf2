import pickle

import pytest
import torch

from lipnet.errors import UserError
from lipnet.runs import checkpoint

CONTENT = {
    "model": {"weight": torch.arange(3.0)}, "progress": {"epoch": 2, "score": -1.5}, "names": ["a", "b"], "none": None,
}  # fmt: skip


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "checkpoints" / "last.pt"
    checkpoint.save(path, CONTENT)
    loaded = checkpoint.load(path)
    assert torch.equal(loaded["model"]["weight"], CONTENT["model"]["weight"])
    assert {key: loaded[key] for key in ("progress", "names", "none")} == {
        key: CONTENT[key] for key in ("progress", "names", "none")
    }
    assert list(path.parent.iterdir()) == [path]


def test_checkpoints_load_without_running_code(tmp_path):
    checkpoint.save(tmp_path / "last.pt", CONTENT)
    assert set(torch.load(tmp_path / "last.pt", weights_only=True)) == {"format", *CONTENT}


def test_what_cannot_be_saved_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save(path, CONTENT)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        checkpoint.save(path, {"function": lambda: None})
    assert checkpoint.load(path)["names"] == ["a", "b"]
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_checkpoint_can_be_kept(tmp_path):
    path, previous = tmp_path / "last.pt", tmp_path / "previous.pt"
    checkpoint.save(path, {"number": 1}, previous)
    assert not previous.exists()
    checkpoint.save(path, {"number": 2}, previous)
    assert [checkpoint.load(file)["number"] for file in (path, previous)] == [2, 1]


class _Malicious:
    def __reduce__(self):
        return (print, ("code ran",))


def _whole(path):
    checkpoint.save(path, CONTENT)
    return path.read_bytes()


def _flipped(content):
    """One bit of the first weight's storage, which a load without checksums takes for another number."""
    place = content.index(CONTENT["model"]["weight"].numpy().tobytes())
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGED = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"not a checkpoint at all"),
    "first-byte-only": lambda path: path.write_bytes(_whole(path)[:1]),
    "first-half": lambda path: path.write_bytes(_whole(path)[: len(_whole(path)) // 2]),
    "without-its-end": lambda path: path.write_bytes(_whole(path)[:-1]),
    "a-flipped-bit": lambda path: path.write_bytes(_flipped(_whole(path))),
    "zeros": lambda path: path.write_bytes(bytes(len(_whole(path)))),
    "a-pickle": lambda path: path.write_bytes(pickle.dumps({"format": 1}, protocol=2)[:-2]),
    "code": lambda path: torch.save({"format": 1, "model": _Malicious()}, path),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_files_are_one_message(tmp_path, capsys, damage):
    path = tmp_path / "last.pt"
    DAMAGED[damage](path)
    with pytest.raises(UserError) as error:
        checkpoint.load(path)
    assert str(error.value).startswith(f"{path}: not a readable checkpoint (")
    assert "\n" not in str(error.value)
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [{"format": 0}, {"model": {}}, [1, 2], torch.zeros(2)], ids=repr)
def test_other_files_of_torch_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(UserError, match="not a checkpoint of this version of lipnet"):
        checkpoint.load(tmp_path / "last.pt")


@pytest.mark.parametrize("name", ["missing.pt", "."])
def test_missing_files(tmp_path, name):
    with pytest.raises(UserError, match="does not exist"):
        checkpoint.load(tmp_path / name)
