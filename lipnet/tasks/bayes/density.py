"""The log density of a posterior over the parameters of a network, for many parameter vectors at once."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from lipnet.data.problems import Problem
from lipnet.layers.orthogonal import OrthogonalizationError
from lipnet.tasks.bayes import stacked
from lipnet.tasks.bayes.constraints import Constraint

_WITHIN = 0.1  # how far within what is permitted the guide leads
# How strongly: with the weight of the constraints themselves the descent would see nothing else, and where it ended
# chains would begin, far from the examples.
_PULL = 300.0


def gradient_of(function: Callable[[Tensor], Tensor], vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Values ``(members,)`` and gradients ``(members, size)`` of a function of each vector alone.

    A vector that is not finite, or whose weights a layer refuses, has the value -inf and a gradient that is none: a
    chain rejects it, and need not end for it.
    """
    finite = torch.isfinite(vectors).all(1)
    values, gradients = vectors.new_full((len(vectors),), -math.inf), torch.full_like(vectors, math.nan)
    if bool(finite.any()):
        values[finite], gradients[finite] = _gradient_of_finite(function, vectors[finite])
    return values, gradients


def _gradient_of_finite(function: Callable[[Tensor], Tensor], vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Halves the vectors until those that are refused are alone."""
    inputs = vectors.detach().requires_grad_()
    try:
        with torch.enable_grad():
            values = function(inputs)
            (gradients,) = torch.autograd.grad(values.sum(), inputs)
    except OrthogonalizationError:
        if len(vectors) == 1:
            return vectors.new_full((1,), -math.inf), torch.full_like(vectors, math.nan)
        halves = [_gradient_of_finite(function, half) for half in vectors.tensor_split(2)]
        return torch.cat([half[0] for half in halves]), torch.cat([half[1] for half in halves])
    return values.detach(), gradients


class Functions:
    """Networks of one architecture as functions of their parameters, each a vector.

    Args:
        network: float64, in evaluation mode; its own parameters are not used.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
        self.size = sum(shape.numel() for shape in self.shapes.values())
        self.steps = stacked.steps_of(network)

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """The parameters in a vector ``(size,)``."""
        parts = vector.split([shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def in_stacks(self, vectors: Tensor) -> list[Tensor]:
        """Each parameter of all networks: ``(members, *shape)``."""
        parts = vectors.split([shape.numel() for shape in self.shapes.values()], 1)
        return [part.reshape(-1, *shape) for part, shape in zip(parts, self.shapes.values(), strict=True)]

    def __call__(self, vectors: Tensor, inputs: Tensor) -> Tensor:
        """``(members, size), (points, coordinates) -> (members, points, outputs)``."""
        if self.steps is not None:
            return stacked.evaluate(self.steps, self.in_stacks(vectors), inputs)
        return vmap(lambda vector: functional_call(self.network, self.named(vector), (inputs,)))(vectors)

    def at_own(self, vectors: Tensor, inputs: Tensor) -> Tensor:
        """Each network at an input of its own: ``(members, size), (members, coordinates) -> (members, outputs)``."""
        if self.steps is not None:
            return stacked.evaluate(self.steps, self.in_stacks(vectors), inputs[:, None])[:, 0]
        return vmap(lambda vector, own: functional_call(self.network, self.named(vector), (own[None],))[0])(
            vectors, inputs
        )


@dataclass
class Density:
    """A log density up to a constant: prior, likelihood and the constraints' factors.

    Attributes:
        prior: means and standard deviations of the parameters' Gaussian prior, numbers or ``(size,)``.
        constraints: empty for the posterior without them.
        points: those at which each constraint is looked at; drawn anew where there is a generator.
        noise: of the targets; of classes it is not read.
    """

    functions: Functions
    problem: Problem
    prior: tuple[Tensor, Tensor]
    constraints: list[Constraint]
    noise: float = 1.0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        self._look_at([each.points(each.option.points) for each in self.constraints])

    def _look_at(self, points: list[Tensor]) -> None:
        self.points, self.inputs = points, torch.cat([self.problem.inputs, *points])
        self.factors = [each.log_factor(there) for each, there in zip(self.constraints, points, strict=True)]

    def __call__(self, vectors: Tensor) -> Tensor:
        """``(members, size) -> (members,)``."""
        if self.generator is not None:
            self._look_at([each.points(each.option.points, self.generator) for each in self.constraints])
        outputs, count = self.functions(vectors, self.inputs), len(self.problem.inputs)
        likelihood = self.log_likelihood(outputs[:, :count], self.problem.targets)
        return self.log_prior(vectors) + likelihood + self._factors(outputs[:, count:])

    def gradient(self, vectors: Tensor, examples: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Values ``(members,)`` and gradients ``(members, size)``; members do not meet, so that one pass is enough.

        Args:
            examples: rows of the only examples that are looked at, in the place of all.
        """
        if examples is None:
            return gradient_of(self, vectors)
        return gradient_of(lambda given: self.of_some(given, examples), vectors)

    def of_some(self, vectors: Tensor, examples: Tensor) -> Tensor:
        """An estimate of the log density: the likelihood of some examples is taken for that of all."""
        outputs = self.functions(vectors, torch.cat([self.problem.inputs[examples], *self.points]))
        each = self.each_log_likelihood(outputs[:, : len(examples)], self.problem.targets[examples])
        likelihood = each.mean(-1) * len(self.problem.targets)
        return self.log_prior(vectors) + likelihood + self._factors(outputs[:, len(examples) :])

    def guide(self, vectors: Tensor) -> Tensor:
        """What leads to where the density is: far in what is forbidden, its own gradient vanishes, and this one's not.

        It has the excess itself in the place of soft membership.
        """
        outputs, first = self.functions(vectors, self.inputs), len(self.problem.inputs)
        total = self.log_prior(vectors) + self.log_likelihood(outputs[:, :first], self.problem.targets)
        for constraint, points in zip(self.constraints, self.points, strict=True):
            excess = constraint.excess(points, outputs[:, first : first + len(points)])
            total = total - _PULL * excess.clamp_min(-_WITHIN).mean(-1)
            first += len(points)
        return total

    def log_prior(self, vectors: Tensor) -> Tensor:
        """Of the Gaussian alone, up to a constant."""
        mean, deviation = self.prior
        return -((vectors - mean) ** 2 / (2 * deviation**2)).sum(-1)

    def log_factors(self, vectors: Tensor) -> Tensor:
        """Of the constraints alone: ``(members,)``."""
        if not self.points:
            return vectors.new_zeros(len(vectors))
        return self._factors(self.functions(vectors, torch.cat(self.points)))

    def _factors(self, outputs: Tensor) -> Tensor:
        total, first = outputs.new_zeros(len(outputs)), 0
        for points, factor in zip(self.points, self.factors, strict=True):
            total = total + factor(outputs[:, first : first + len(points)])
            first += len(points)
        return total

    def log_likelihood(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Of outputs ``(members, examples, outputs)``, summed over the examples: ``(members,)``."""
        return self.each_log_likelihood(outputs, targets).sum(-1)

    def each_log_likelihood(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """``(members, examples)``."""
        if not targets.is_floating_point():
            chosen = targets.expand(outputs.shape[:-1]).unsqueeze(-1)
            return functional.log_softmax(outputs, -1).gather(-1, chosen)[..., 0]
        squares = ((outputs[..., 0] - targets) / self.noise) ** 2
        return -squares / 2 - math.log(self.noise * math.sqrt(2 * math.pi))


def gaussian(deviation: float, size: int) -> tuple[Any, Any]:
    """The prior of independent parameters about 0."""
    return torch.zeros(size, dtype=torch.float64), torch.full((size,), deviation, dtype=torch.float64)
