"""Variables that torchrun sets, set by something else: unset, empty, missing, or nonsense."""

import pytest
from launching import launch

from lipnet.errors import UserError
from lipnet.training.processes import local_rank, rank, shared_by

NAMES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
SHARED = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.fixture
def environment(monkeypatch):
    def set_to(values):
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_to


ALONE = {
    "nothing": {},
    "empty": dict.fromkeys(NAMES, ""),
    "an empty WORLD_SIZE": SHARED | {"WORLD_SIZE": ""},
    "blank": SHARED | {"WORLD_SIZE": " "},
    "one": SHARED | {"WORLD_SIZE": "1"},
    "WORLD_SIZE alone": {"WORLD_SIZE": "4"},
    "a rank alone": {"RANK": "1", "LOCAL_RANK": "1"},
}


@pytest.mark.parametrize("values", ALONE.values(), ids=ALONE)
def test_a_process_by_itself(environment, values):
    environment(values)
    assert (shared_by(), rank()) == (1, 0)


def test_one_of_several(environment):
    environment(SHARED)
    assert (shared_by(), rank(), local_rank()) == (2, 1, 1)
    environment(SHARED | {"LOCAL_RANK": ""})
    assert local_rank() == 0


WRONG = {
    "a text": (SHARED | {"WORLD_SIZE": "two"}, "WORLD_SIZE=two: must be a whole number >= 1"),
    "a fraction": (SHARED | {"WORLD_SIZE": "2.0"}, "WORLD_SIZE=2.0: must be"),
    "none": (SHARED | {"WORLD_SIZE": "0"}, "WORLD_SIZE=0: must be"),
    "less than none": (SHARED | {"WORLD_SIZE": "-1"}, "WORLD_SIZE=-1: must be"),
    "another script's digits": (SHARED | {"WORLD_SIZE": "²"}, "WORLD_SIZE=²: must be"),
    "no rank": (SHARED | {"RANK": ""}, "WORLD_SIZE=2 without RANK: torchrun sets all"),
    "no address": (SHARED | {"MASTER_ADDR": ""}, "without MASTER_ADDR:"),
    "no address, no port": (SHARED | {"MASTER_ADDR": "", "MASTER_PORT": ""}, "without MASTER_ADDR, MASTER_PORT:"),
    "a rank of text": (SHARED | {"RANK": "first"}, "RANK=first: must be"),
    "a rank too many": (SHARED | {"RANK": "2"}, "RANK=2: of WORLD_SIZE=2 processes the last is 1"),
    "a local rank of text": (SHARED | {"LOCAL_RANK": "x"}, "LOCAL_RANK=x: must be"),
    "a port of text": (SHARED | {"MASTER_PORT": "http"}, "MASTER_PORT=http: must be"),
    "a port too large": (SHARED | {"MASTER_PORT": "70000"}, "MASTER_PORT=70000: must be at most 65535"),
}


@pytest.mark.parametrize("what", WRONG)
def test_nonsense_is_one_message(environment, what):
    values, message = WRONG[what]
    environment(values)
    with pytest.raises(UserError) as caught:
        shared_by()
    assert str(caught.value).startswith(message) or message in str(caught.value)
    outcome = launch("--cfg=job")
    assert outcome.code == 1
    assert outcome.output == f"lipnet: {caught.value}\n"
