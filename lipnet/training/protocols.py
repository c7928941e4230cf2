"""What the loop asks of a task: batches, and an objective."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn


class Batches(Protocol):
    """Where training batches come from: a split of a data set, or samplers; its length is an epoch's, in examples."""

    @property
    def device(self) -> torch.device: ...

    def __len__(self) -> int: ...

    def training_batches(
        self, batch_size: int, seed: int, epoch: int, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch, from batch number ``first`` on; it depends on the arguments alone, so that runs can resume."""


class Objective(Protocol):
    """What a task asks of the loop."""

    @property
    def sums(self) -> tuple[str, ...]:
        """Names of what ``step`` counts; an epoch reports sum / examples as ``train/<name>``."""

    def step(self, model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss to descend, and a vector of sums over the batch, one for each name in ``sums``."""

    def validate(self, model: nn.Module, epoch: int) -> tuple[dict[str, float], float, float]:
        """Metrics by tag, the score (higher is better) by which ``best.pt`` is chosen, and the score's standard error.

        Of the epochs within one standard error of the best, the latest is chosen.
        """
