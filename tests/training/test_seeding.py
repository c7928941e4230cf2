import random

import numpy
import pytest
import torch

from lipnet.errors import UserError
from lipnet.training import seeding
from lipnet.training.seeding import choose_device, start_clean


@pytest.fixture(autouse=True)
def _leave_the_process_as_it_was():
    dtype = torch.get_default_dtype()
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.set_default_dtype(dtype)
    torch.set_flush_denormal(False)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32


def _draw():
    return random.random(), numpy.random.rand(), torch.rand(3).tolist()


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**40 + 5])
def test_the_same_seed_gives_the_same_numbers(seed):
    start_clean(seed, 1)
    first = _draw()
    assert _draw() != first
    start_clean(seed, 1)
    assert _draw() == first
    start_clean(seed + 1, 1)
    assert not set(map(str, _draw())) & set(map(str, first))


def test_what_an_earlier_job_changed_is_reset():
    torch.set_default_dtype(torch.float64)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    start_clean(0, 1)
    assert torch.get_num_threads() == 1
    assert torch.get_default_dtype() == torch.float32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_threads_return_to_those_of_the_process(monkeypatch):
    monkeypatch.setattr(seeding, "_CORES", 2)
    start_clean(0, 1)
    assert torch.get_num_threads() == 1
    start_clean(0, None)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("asked", "available", "chosen"),
    [
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_choose_device(monkeypatch, asked, available, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert choose_device(asked) == torch.device(chosen)


def test_no_cuda_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device=cuda: torch finds no CUDA device here; use device=cpu or device=auto"):
        choose_device("cuda")
