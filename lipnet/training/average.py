"""A moving average of a network's free parameters, which is the network that is validated and deployed."""

import copy
from typing import Any

import torch
from torch import nn


class Average:
    """``average <- d · average + (1 - d) · parameters`` after each step; ``d`` grows to ``decay``, as
    ``(1 + steps) / (10 + steps)``, so that the first steps are forgotten.

    It is of the parameters that are learned, not of the weights that layers build of them: a mean of orthogonal
    matrices is not orthogonal, and what a layer builds of mean parameters is. Buffers are those of the network.

    Attributes:
        model: a network with the average.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.source, self.decay, self.steps = model, decay, 0
        self.model = copy.deepcopy(model).eval()
        self.model.requires_grad_(False)

    @torch.no_grad()
    def step(self) -> None:
        """Follows a step of the optimizer."""
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        for average, parameter in zip(self.model.parameters(), self.source.parameters(), strict=True):
            average.lerp_(parameter, share)
        for kept, buffer in zip(self.model.buffers(), self.source.buffers(), strict=True):
            kept.copy_(buffer)
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """What goes on: the parameters as they are trained, and how many steps there were."""
        return {"model": self.source.state_dict(), "steps": self.steps}
