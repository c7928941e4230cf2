"""Where a run stands."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lipnet.training import distributed


@dataclass
class Progress:
    """Where a run stands; with parameters and optimizer state, all that the rest of it depends on."""

    epoch: int = 0  # finished epochs
    batch: int = 0  # finished batches of the present epoch
    totals: Tensor | None = None  # sums over those batches
    best_score: float = -math.inf
    best_epoch: int = 0
    seconds: float = 0.0  # spent in training steps, over all attempts
    epoch_seconds: float = 0.0  # the part of it in the present epoch

    def __post_init__(self) -> None:
        counts, sizes = (self.epoch, self.batch, self.best_epoch), (self.best_score, self.seconds, self.epoch_seconds)
        right = all(type(count) is int and count >= 0 for count in counts) and all(
            type(size) is float for size in sizes
        )
        if not right or not isinstance(self.totals, Tensor | None):
            raise ValueError(f"no progress of a run: {vars(self)}")


def sums_of_main(totals: Tensor) -> Tensor:
    """Sums over all processes as what each goes on from: the first has them, the others nothing."""
    return totals if distributed.is_main() else torch.zeros_like(totals)
