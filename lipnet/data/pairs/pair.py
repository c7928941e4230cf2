"""A pair of distributions, and training batches drawn from it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lipnet.errors import UserError
from lipnet.randomness import stream

Sampler = Callable[[int, torch.Generator], Tensor]  # (count, generator) -> (count, *shape), float64
Potential = Callable[[Tensor], Tensor]  # (count, *shape) -> (count,), 1-Lipschitz

_TAIL_SAMPLES = 2_000
_LEAST_TAIL_INDEX = 1.25  # distributions of index 1 (Cauchy's) and less are below it but for one in a hundred


@dataclass(frozen=True)
class Pair:
    """Two distributions, and what is known of the Wasserstein-1 distance (L2 ground distance) between them.

    Attributes:
        draw: ``(part, count, generator) -> (first, second)``, float64 samples ``(count, *shape)`` of either. Parts
            are ``training``, ``selection``, ``evaluation`` and ``range``, independent of each other. No point of a
            finite data set is in two of the first three; those of ``range``, which bound the critic's values before any
            is evaluated, are drawn like training's.
        units: what a distance of 1 means.
        true_value: the distance between both, where known; ``true_value_error`` is its standard error if estimated.
        potential: an optimal 1-Lipschitz critic f: ``E f(first) - E f(second)`` is the distance.
        paired: outside of training, sample i of one distribution and sample i of the other belong together.
        published: other estimators' figures on this pair, by name.
    """

    draw: Callable[[str, int, torch.Generator], tuple[Tensor, Tensor]]
    units: str = "L2 distance between vectors"
    true_value: float | None = None
    true_value_error: float | None = None
    potential: Potential | None = None
    paired: bool = False
    published: dict[str, float] | None = None

    def samples(self, part: str, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """The run's samples of a part outside of training: always the same ones for one seed."""
        return self.draw(part, count, stream(seed, "samples", part))


def pair_stream(seed: int) -> torch.Generator:
    """Draws what is random in a pair itself (directions, anchors): ``seed`` is the pair's, not the run's."""
    return stream(seed, "pair")


def independent(first: Sampler, second: Sampler) -> Callable[[str, int, torch.Generator], tuple[Tensor, Tensor]]:
    """``Pair.draw`` from two samplers: every call draws anew, so that parts are independent."""
    return lambda part, count, random: (first(count, random), second(count, random))


def check_pair(pair: Pair, shape: tuple[int, ...]) -> None:
    """Draws samples and checks their shapes, their values and how heavy their tails are.

    Raises:
        UserError: one draws something else than finite samples of ``shape``, or seems to have no first moment.
    """
    for side, samples in zip(("first", "second"), pair.samples("range", 2, 0), strict=True):
        if tuple(samples.shape) != (2, *shape):
            raise UserError(
                f"the {side} distribution of this pair draws samples of shape {tuple(samples.shape[1:])} where {shape} "
                "is expected; both distributions must have the critic's input shape."
            )
        if not bool(torch.isfinite(samples).all()):
            raise UserError(f"the {side} distribution of this pair draws samples that are not finite.")
    for side, samples in zip(("first", "second"), pair.samples("range", _TAIL_SAMPLES, 0), strict=True):
        index = _tail_index(samples)
        if index < _LEAST_TAIL_INDEX:
            raise UserError(
                f"the {side} distribution of this pair seems to have no first moment: the tail index of "
                f"{_TAIL_SAMPLES:,} samples is {index:.2f}, and without one above 1 the distance is infinite or "
                "undefined."
            )


def _tail_index(samples: Tensor) -> float:
    """Hill's estimate (1975) of a in ``P(|x| > r) ~ r^-a``, from the largest twentieth of the norms.

    Its relative standard error is one over the root of their number, 10 %.
    """
    largest = samples.flatten(1).norm(dim=1).topk(len(samples) // 20 + 1).values
    if float(largest[-1]) == 0:
        return math.inf
    excess = float((largest[:-1] / largest[-1]).log().mean())
    return 1 / excess if excess else math.inf


class PairBatches:
    """Training batches of a pair, as the loop takes them: both distributions' samples, and the weights +1 and -1."""

    def __init__(self, pair: Pair, examples: int, device: torch.device) -> None:
        self.pair, self.examples, self.device = pair, examples, device

    def __len__(self) -> int:
        """Samples a side in an epoch."""
        return self.examples

    def training_batches(
        self, batch_size: int, seed: int, epoch: int, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """``(inputs, weights)``: ``batch_size`` samples of the first distribution (weight 1), then of the second (-1).

        Each batch has a stream of ``(seed, epoch, batch)``, so that an epoch can be entered anywhere.
        """
        weights = torch.tensor([1.0, -1.0], device=self.device).repeat_interleave(batch_size)
        for number in range(first, self.examples // batch_size):
            random = stream(seed, "training samples", epoch, number)
            yield torch.cat(self.pair.draw("training", batch_size, random)).float().to(self.device), weights
