"""Batches that each example joins at random, independently of all others."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lipnet.data.images import Split
from lipnet.randomness import Secret, stream


class PoissonBatches:
    """Training batches of a split, as the loop takes them, of ``batch_size`` examples on average; some may be empty.

    What the accountants of private training count on: each example joins each batch with the same probability.
    """

    def __init__(self, split: Split, secret: Secret) -> None:
        self.split, self.secret = split, secret

    @property
    def device(self) -> torch.device:
        return self.split.device

    def __len__(self) -> int:
        return len(self.split)

    def training_batches(
        self, batch_size: int, seed: int, epoch: int, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """As many as an epoch has otherwise, by ``(secret, epoch, batch)`` alone."""
        del seed
        rate = sampling_rate(len(self), batch_size)
        for number in range(first, math.ceil(len(self) / batch_size)):
            random = stream(self.secret.number, "sampled examples", epoch, number)
            rows = (torch.rand(len(self), generator=random, dtype=torch.float64) < rate).nonzero().squeeze(1)
            augmentation = stream(self.secret.number, "augmentation of sampled examples", epoch, number)
            yield self.split.training_batch(rows.to(self.device), augmentation)


def sampling_rate(examples: int, batch_size: int) -> float:
    """The probability with which an example joins a batch."""
    return min(1.0, batch_size / examples)
