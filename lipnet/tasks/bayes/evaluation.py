"""What a posterior is worth: how often it violates its constraints, how well it fits, how well it is calibrated."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lipnet.data.problems import Problem
from lipnet.randomness import stream
from lipnet.tasks.bayes.constraints import Constraint
from lipnet.tasks.bayes.density import Density

POINTS = 1000  # of a region, at which violations are counted
_COVERAGE = 0.95
_BATCH = 200  # networks evaluated at once


@dataclass(frozen=True)
class Measured:
    """Of one posterior; ``test`` and below are ``None`` where nothing is held out, ``coverage`` of classes too."""

    violation: float
    functions_violating: float
    train_error: float
    test_error: float | None = None
    log_likelihood: float | None = None
    coverage: float | None = None


@torch.no_grad()
def measure(density: Density, constraints: list[Constraint], vectors: Tensor, weights: Tensor, seed: int) -> Measured:
    """Of networks ``(members, size)`` with weights that sum to 1."""
    problem = density.problem
    violation, violating = violations(density, constraints, vectors, weights)
    train = error(
        problem, mean_prediction(problem, outputs_at(density, vectors, problem.inputs), weights), held_out=False
    )
    if not len(problem.held_out[1]):
        return Measured(violation, violating, train)
    inputs, targets = problem.held_out
    outputs = outputs_at(density, vectors, inputs)
    each = density.each_log_likelihood(outputs, targets) + weights.log()[:, None]
    return Measured(
        violation,
        violating,
        train,
        error(problem, mean_prediction(problem, outputs, weights), held_out=True),
        float(torch.logsumexp(each, 0).mean()),
        None if problem.classifies else coverage(outputs[..., 0], targets, weights, density.noise, seed),
    )


def outputs_at(density: Density, vectors: Tensor, inputs: Tensor) -> Tensor:
    """``(members, points, outputs)``, in parts that fit into memory."""
    return torch.cat([density.functions(part, inputs) for part in vectors.split(_BATCH)])


def mean_prediction(problem: Problem, outputs: Tensor, weights: Tensor) -> Tensor:
    """``(points,)`` numbers, or ``(points, classes)`` probabilities: the mean over networks ``(members, ...)``."""
    values = outputs.softmax(-1) if problem.classifies else outputs[..., 0]
    return torch.tensordot(weights, values, dims=1)


def error(problem: Problem, predicted: Tensor, held_out: bool) -> float:
    """The root mean squared error, in units of the targets, or the share of wrong classes."""
    targets = problem.held_out[1] if held_out else problem.targets
    if problem.classifies:
        return float((predicted.argmax(-1) != targets).double().mean())
    return problem.units * float((predicted - targets).square().mean().sqrt())


def violations(
    density: Density, constraints: list[Constraint], vectors: Tensor, weights: Tensor
) -> tuple[float, float]:
    """The share of points of the regions at which the mean violates, and of networks that violate at any of them."""
    places, anywhere = [], torch.zeros(len(vectors), dtype=torch.bool)
    for constraint in constraints:
        points = constraint.points(POINTS)
        outputs = outputs_at(density, vectors, points)
        mean = mean_prediction(density.problem, outputs, weights)
        places.append(constraint.violated(points, mean if density.problem.classifies else mean[:, None]))
        anywhere |= constraint.violated(points, outputs).any(-1)
    return float(torch.cat(places).double().mean()), min(1.0, float(weights[anywhere].sum()))


def coverage(outputs: Tensor, targets: Tensor, weights: Tensor, noise: float, seed: int) -> float:
    """The share of targets in the central interval of 95 % of the predictive distribution, of outputs with noise."""
    random = stream(seed, "predictive noise")
    drawn = outputs + noise * torch.randn(outputs.shape, generator=random, dtype=torch.float64)
    order = drawn.sort(0)
    below = weights[order.indices].cumsum(0)
    tail = (1 - _COVERAGE) / 2
    low, high = (
        order.values.gather(0, (below < share).sum(0, keepdim=True).clamp_max(len(outputs) - 1))[0]
        for share in (tail, 1 - tail)
    )
    return float(((low <= targets) & (targets <= high)).double().mean())


def normalised(log_weights: Tensor) -> Tensor:
    """Weights that sum to 1, of logarithms; equal ones where all are minus infinity."""
    if bool((log_weights == -math.inf).all()):
        return torch.full_like(log_weights, 1 / len(log_weights))
    return torch.softmax(log_weights, 0)
