"""What processes that share a run compute on their own; ``tests/test_shared_runs.py`` has what they exchange."""

import socket

import pytest
import torch

from lipnet.errors import UserError
from lipnet.training import distributed


@pytest.fixture
def process(monkeypatch):
    """``process(1, 3)``: what a function sees that runs in process 1 of 3."""

    def become(rank, size):
        monkeypatch.setattr(distributed, "rank", lambda: rank)
        monkeypatch.setattr(distributed, "size", lambda: size)

    return become


def test_a_process_by_itself_has_everything():
    inputs, targets, flags = torch.rand(3, 2), torch.arange(3), torch.tensor([1.0, 2.0])
    assert (distributed.size(), distributed.rank(), distributed.is_main()) == (1, 0, True)
    assert (
        distributed.from_main(lambda: 7) == distributed.first(7) == distributed.first_of_machine_first(lambda: 7) == 7
    )
    own, labels, weight = distributed.own_share(inputs, targets)
    assert (own is inputs, labels is targets, weight) == (True, True, 1.0)
    assert distributed.own_rows(3).tolist() == [0, 1, 2]
    assert torch.equal(distributed.in_parts(lambda rows: 2 * rows, inputs), 2 * inputs)
    assert distributed.total(flags) is distributed.smallest(flags) is flags
    assert distributed.largest(1.0, 0.0) == [1.0, 0.0]
    assert distributed.first_to_fail()
    assert not distributed.is_lost_connection(RuntimeError("gloo: connection closed by peer"))


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("rows", [1, 2, 4, 7, 15])
def test_shares_of_a_batch_make_its_mean(process, size, rows):
    """The mean over processes of weight x own mean, which is what averaged gradients are."""
    inputs, targets = torch.rand(rows, 2, dtype=torch.float64), torch.arange(rows)
    parts, seen = [], []
    for rank in range(size):
        process(rank, size)
        own, labels, weight = distributed.own_share(inputs, targets)
        assert torch.equal(own, inputs[labels])
        assert len(own) > 0  # every process runs forward and backward
        parts.append(weight * own.mean(0))
        if weight:
            seen.extend(labels.tolist())
    torch.testing.assert_close(torch.stack(parts).mean(0), inputs.mean(0))
    assert sorted(seen) == list(range(rows))


@pytest.mark.parametrize(
    ("count", "size", "rows"),
    [(4, 2, [[0, 1], [2, 3]]), (5, 2, [[0, 1, 2], [3, 4, 0]]), (1, 3, [[0], [0], [0]]), (0, 2, [[], []])],
)
def test_rows_to_evaluate_are_equally_many(process, count, size, rows):
    found = []
    for rank in range(size):
        process(rank, size)
        found.append(distributed.own_rows(count).tolist())
    assert found == rows


def test_more_processes_than_gpus_are_refused(process, monkeypatch):
    process(2, 3)
    monkeypatch.setattr(distributed, "local_rank", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert distributed.own_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(
        UserError, match=r"more processes on this machine than it has GPUs \(2\); use --nproc_per_node=2"
    ):
        distributed.own_device(torch.device("cuda"))


ERRORS = [
    (RuntimeError("[gloo] Connection closed by peer"), True), (RuntimeError("NCCL error"), True),
    (RuntimeError("shapes do not fit"), False), (ValueError("gloo"), False),
]  # fmt: skip


@pytest.mark.parametrize(("error", "lost"), ERRORS, ids=str)
def test_a_lost_connection_is_told_from_other_errors(process, error, lost):
    process(0, 2)
    assert distributed.is_lost_connection(error) is lost


@pytest.mark.parametrize("number", ["0", "1"])
def test_nobody_comes(monkeypatch, number, capfd):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": "2", "RANK": number, "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "_SILENT", 0.5)
    monkeypatch.setattr(distributed, "_PATIENCE", 3.0)
    with pytest.raises(
        UserError, match=f"process {number} did not meet the others at localhost:{port} .*torchrun, or un"
    ):
        distributed.start()
    assert distributed.size() == 1
    said = (
        f"lipnet: process {number} waits for the others of WORLD_SIZE=2 at localhost:{port} (MASTER_ADDR, MASTER_PORT)"
    )
    assert said in capfd.readouterr().err
