"""A search for inputs at which sampled networks violate a constraint: random points, and ascent from there."""

import torch
from torch import Tensor

from lipnet.tasks.bayes.constraints import Constraint
from lipnet.tasks.bayes.density import Functions

_RANDOM = 1000  # points that are only looked at
_STEP = 0.1  # of the first step of the ascent, in parts of the box's sides


def violated_anywhere(
    functions: Functions, vectors: Tensor, constraint: Constraint, steps: int, starts: int, random: torch.Generator
) -> Tensor:
    """Of which networks ``(members,)`` a violation was found in the region."""
    points = constraint.points(_RANDOM, random)
    found = constraint.violated(points, functions(vectors, points)).any(-1)
    low, high = constraint.box.T
    for _ in range(starts if steps else 0):
        inputs = constraint.points(1, random).expand(len(vectors), -1).clone()
        for step in range(steps):
            inputs.requires_grad_()
            outputs = functions.at_own(vectors, inputs)
            (gradient,) = torch.autograd.grad(constraint.excess(inputs, outputs).sum(), inputs)
            size = _STEP * (1 - step / steps)
            inputs = (inputs.detach() + size * (high - low) * gradient.sign()).clamp(low, high)
        outputs = functions.at_own(vectors, inputs)
        found |= constraint.violated(inputs, outputs)
    return found
