"""A problem: examples to learn from, examples held out, and the range of inputs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lipnet.randomness import stream


@dataclass(frozen=True)
class Problem:
    """Examples, float64.

    Attributes:
        inputs: ``(examples, coordinates)``.
        targets: ``(examples,)``, float64 numbers or int64 classes.
        held_out: more inputs and targets, outside of the regions of constraints; may be empty.
        domain: ``(coordinates, 2)``, the range that figures show, and where a constraint says nothing of a coordinate.
        units: of the targets, ``1`` where they have been scaled: what an error is multiplied by.
    """

    inputs: Tensor
    targets: Tensor
    held_out: tuple[Tensor, Tensor]
    domain: Tensor
    units: float = 1.0

    @property
    def classifies(self) -> bool:
        """Whether the targets are classes."""
        return not self.targets.is_floating_point()


def without_held_out(inputs: Tensor, targets: Tensor, domain: Tensor) -> Problem:
    """A problem all of whose examples are learned from."""
    return Problem(inputs, targets, (inputs[:0], targets[:0]), domain)


def column(*values: float) -> Tensor:
    """``(n, 1)`` inputs."""
    return torch.tensor(values, dtype=torch.float64)[:, None]


def held_out_numbers(name: str) -> torch.Generator:
    """What the held-out examples of a problem are drawn by, the same in every run."""
    return stream(0, "held-out examples", name)
