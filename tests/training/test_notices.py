import pytest
import torch

from lipnet.training import notices


@pytest.mark.parametrize(
    ("threads", "asked", "said"),
    [(4, False, ""), (4, True, ""), (1, True, ""), (1, False, "threads=4 uses all"), (8, True, "use threads=4")],
)
def test_threads(monkeypatch, threads, asked, said):
    monkeypatch.setattr(notices, "available_cores", lambda: 4)
    found = list(notices.thread_notices(threads, asked))
    assert len(found) == bool(said)
    assert all(said in notice for notice in found)


def test_a_machine_that_cannot_flush_denormals_or_use_its_gpu(monkeypatch):
    monkeypatch.setattr(torch, "set_flush_denormal", lambda on: False)
    monkeypatch.setattr(notices.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    denormals, driver = notices.machine_notices()
    assert "denormal" in denormals
    assert "torch cannot use it" in driver


def test_a_long_run_is_told_how_long():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert notices.length_notice(3599, cpu, 2) is None
    assert notices.length_notice(9000, cpu, 2).startswith("about 2.5 h to go on 2 CPU threads; a GPU is faster")
    assert "on cuda;" in notices.length_notice(9000, cuda, 2)


def test_cores_are_at_least_one():
    assert notices.available_cores() >= 1
