"""The last observations of a stream, in a piece of memory that does not grow."""

from typing import Any

import torch
from torch import Tensor


class Window:
    """The last ``size`` observations, float64.

    They lie in a row in twice the room, so that any stretch of them is a view; where the room ends they are moved back.
    """

    def __init__(self, size: int, dimension: int) -> None:
        self.size = size
        self._room = torch.zeros(2 * size, dimension, dtype=torch.float64)
        self._end = 0

    def __len__(self) -> int:
        return min(self._end, self.size)

    def add(self, observation: Tensor) -> None:
        """The latest, ``(dimension,)``."""
        if self._end == len(self._room):
            self._room[: self.size] = self._room[self.size :].clone()
            self._end = self.size
        self._room[self._end] = observation
        self._end += 1

    def last(self, count: int) -> Tensor:
        """The latest ones, the last of them last: ``(count, dimension)``, a copy."""
        return self._room[self._end - count : self._end].clone()

    def examples(self, count: int, memory: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """``(count, memory, dimension)`` stretches, drawn with replacement, and the observation after each."""
        first = self._end - len(self)
        starts = torch.randint(len(self) - memory, (count,), generator=random) + first
        places = starts[:, None] + torch.arange(memory)
        return self._room[places], self._room[starts + memory]

    def state_dict(self) -> dict[str, Any]:
        return {"observations": self.last(len(self))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        kept = state["observations"]
        self._end = len(kept)
        self._room[: self._end] = kept
