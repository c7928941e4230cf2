"""Variables of the environment that torchrun would set, and that name no place among its processes."""

import os
from collections.abc import Callable, Iterator
from unittest import mock

from malformed import TINY, Case, lipnet

TORCHRUN = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
WRONG = (
    {"WORLD_SIZE": "two"}, {"WORLD_SIZE": "0"}, {"WORLD_SIZE": "2.0"}, {"RANK": ""}, {"RANK": "-1"}, {"RANK": "2"},
    {"LOCAL_RANK": "x"}, {"MASTER_ADDR": ""}, {"MASTER_PORT": ""}, {"MASTER_PORT": "99999"},
)  # fmt: skip


def environments() -> Iterator[Case]:
    """Each alone, beside right ones."""
    for changes in WRONG:
        ((name, value),) = changes.items()
        yield Case("environments", f"{name}={value}", lambda folder: list(TINY), _inside(TORCHRUN | changes))


def _inside(values: dict[str, str]) -> Callable[[list[str]], int]:
    def program(given: list[str]) -> int:
        with mock.patch.dict(os.environ, values):
            return lipnet(given)

    return program
