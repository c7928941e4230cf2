import logging

import pytest
import torch

from lipnet.errors import UserError
from lipnet.runs import checkpoint
from lipnet.runs.recovery import newest


@pytest.fixture
def folder(tmp_path):
    """``folder(last=(3, 1, 2), ...)``: checkpoints of (finished epochs, batches, best epoch); ``None`` is damaged."""

    def make(**progress):
        for name, numbers in progress.items():
            path = tmp_path / f"{name}.pt"
            if numbers is None:
                path.write_bytes(b"damaged")
                continue
            epoch, batch, best = numbers
            content = {"epoch": epoch, "batch": batch, "best_epoch": best, "best_score": best / 10}
            checkpoint.save(path, {"progress": content, "model": {"weight": torch.tensor(float(epoch))}})
        return tmp_path

    return make


def _newest(folder):
    return newest(*(folder / f"{name}.pt" for name in ("last", "previous", "best")))


def _epoch(path):
    return checkpoint.load(path)["progress"]["epoch"]


CONTINUES = [  # checkpoints -> (epoch, batch, best epoch) of the one chosen, and a part of each warning
    ({"last": (0, 0, 0)}, (0, 0, 0), []),
    ({"last": (3, 1, 2), "previous": (3, 0, 2), "best": (2, 0, 2)}, (3, 1, 2), []),
    ({"last": (3, 1, 2), "previous": None, "best": (2, 0, 2)}, (3, 1, 2), []),
    # stopped between the two renames
    ({"previous": (3, 0, 2), "best": (2, 0, 2)}, (3, 0, 2), []),
    ({"last": None, "previous": (3, 0, 2), "best": (2, 0, 2)}, (3, 0, 2), ["last.pt: not a readable checkpoint"]),
    # stopped after best.pt, before last.pt
    ({"last": (2, 4, 1), "previous": (2, 0, 1), "best": (3, 0, 3)}, (2, 4, 3), []),
    ({"last": None, "previous": (2, 0, 1), "best": (3, 0, 3)}, (2, 0, 3), ["Falling back to"]),
    # best.pt is lost, or an older one
    ({"last": (3, 0, 3), "previous": (2, 0, 2), "best": None}, (3, 0, 3), ["best.pt: not a readable checkpoint"]),
    ({"last": (3, 0, 3), "previous": (2, 0, 2)}, (3, 0, 3), ["best.pt: this checkpoint does not exist"]),
    ({"last": (3, 0, 3), "best": (1, 0, 1)}, (3, 0, 3), ["best.pt: holds epoch 1"]),
    (
        {"last": (3, 2, 3), "previous": (3, 0, 3), "best": None},
        (3, 0, 3),
        ["best.pt: not a readable checkpoint", "The weights of the best epoch, 3, are lost. Falling back to"],
    ),
    ({"last": (0, 3, 0), "best": None}, (0, 3, 0), []),  # none is needed yet
]  # fmt: skip


@pytest.mark.parametrize(("checkpoints", "chosen", "warnings"), CONTINUES)
def test_what_a_run_continues_from(folder, caplog, checkpoints, chosen, warnings):
    made = folder(**checkpoints)
    with caplog.at_level(logging.WARNING):
        progress = _newest(made)["progress"]
    assert (progress["epoch"], progress["batch"], progress["best_epoch"]) == chosen
    assert progress["best_score"] == chosen[2] / 10
    for part in warnings:
        assert part in caplog.text
    assert bool(caplog.records) == bool(warnings)
    assert _epoch(made / "last.pt") == chosen[0]
    if chosen[2]:
        assert _epoch(made / "best.pt") == chosen[2]


def test_a_run_without_checkpoints_starts(tmp_path):
    assert _newest(tmp_path) is None


LOST = [
    {"last": None},
    {"last": None, "previous": None, "best": (1, 0, 1)},
    {"last": (4, 0, 2), "previous": (3, 2, 2), "best": None},
]


@pytest.mark.parametrize("checkpoints", LOST)
def test_nothing_to_continue_from_is_one_message(folder, checkpoints):
    made = folder(**checkpoints)
    before = {path: path.read_bytes() for path in made.iterdir()}
    with pytest.raises(UserError) as error:
        _newest(made)
    assert str(error.value).startswith(f"{made}: no checkpoint to continue from; delete it to start anew. ")
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in made.iterdir()} == before
