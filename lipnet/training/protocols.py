"""What the loop asks of a task: batches, and an objective."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Validation:
    """What was found of a network after an epoch.

    Attributes:
        metrics: by TensorBoard tag.
        score: higher is better; ``best.pt`` is chosen by it.
        error: the score's standard error: of the epochs within one of the best, the latest is chosen.
        images: by TensorBoard tag, ``(count, channels, height, width)`` with pixels in [0, 1].
    """

    metrics: dict[str, float]
    score: float
    error: float = 0.0
    images: dict[str, Tensor] = field(default_factory=dict)


class Objective(Protocol):
    """What is descended and by what epochs are told apart."""

    @property
    def sums(self) -> tuple[str, ...]:
        """Names of what ``step`` counts; an epoch reports sum / examples as ``train/<name>``."""

    def begin_step(self, share: float) -> None:
        """Called before each step with the share of the run's steps that are done, from 0 on."""

    def step(self, model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss to descend, and a vector of sums over the batch, one for each name in ``sums``."""

    def validate(self, model: nn.Module, epoch: int) -> Validation:
        """Called in evaluation mode."""
