"""The amortised prior of Yang et al. 2020 (2010.10969): a Gaussian over parameters that keeps the constraints.

Its mean and standard deviations are fitted so that at points of the regions the outputs are in what is permitted, by
the predictive distribution of the network linearised about the mean: ``N(f(x), noise² + g(x)ᵀ diag(s²) g(x))`` with g
the gradient of the output in the parameters. Of classes, the probabilities are those of logits shrunk by their
variance (MacKay 1992). What is descended is the negative logarithm of the probability, whose gradient does not vanish
where that is small.
"""

import math

import torch
from torch import Tensor
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional

from lipnet.errors import UserError
from lipnet.tasks.bayes.constraints import Constraint
from lipnet.tasks.bayes.density import Density

_LEAST = 1e-12  # of a probability, before its logarithm


def amortised_prior(
    density: Density, iterations: int, rate: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviations ``(size,)``, started at a draw of the density's own prior.

    Raises:
        UserError: the fit diverged.
    """
    centre, spread = density.prior
    mean = (centre + spread * torch.randn(len(centre), generator=generator, dtype=torch.float64)).requires_grad_()
    raw = torch.log(torch.expm1(spread)).clone().requires_grad_()  # softplus of it is the prior's
    descent = torch.optim.Adagrad([mean, raw], lr=rate)
    for _ in range(iterations):
        descent.zero_grad()
        _loss(density, mean, functional.softplus(raw)).backward()
        descent.step()
    if not bool(torch.isfinite(torch.cat([mean, raw])).all()):
        raise UserError(
            f"task.prior=amortised: fitting it diverged; a smaller "
            f"task.amortised_rate (it is {rate:g}) usually avoids it."
        )
    return mean.detach(), functional.softplus(raw).detach()


def _loss(density: Density, mean: Tensor, deviation: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for constraint, points in zip(density.constraints, density.points, strict=True):
        outputs, variances = linearised(density, mean, deviation, points)
        probability = probability_kept(constraint, points, outputs, variances, density.noise)
        total = total - probability.clamp_min(_LEAST).log().mean()
    return total


def linearised(density: Density, mean: Tensor, deviation: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """The outputs at the mean and their variances by the parameters, ``(points, outputs)`` each."""
    functions = density.functions

    def output(vector: Tensor, point: Tensor) -> Tensor:
        return functional_call(functions.network, functions.named(vector), (point[None],))[0]

    outputs = vmap(lambda point: output(mean, point))(points)
    slopes = vmap(lambda point: jacrev(output)(mean, point))(points)
    return outputs, (slopes**2 * deviation**2).sum(-1)


def probability_kept(
    constraint: Constraint, points: Tensor, outputs: Tensor, variances: Tensor, noise: float
) -> Tensor:
    """Of Gaussian outputs, at each point: ``(points,)``."""
    if constraint.kind == "classes":
        shrunk = outputs / torch.sqrt(1 + math.pi * variances / 8)
        return shrunk.softmax(-1)[:, list(constraint.content)].sum(-1)
    deviation = (variances[:, 0] + noise**2).sqrt()
    total = torch.zeros_like(deviation)
    for low, high in constraint.permitted(points):
        total = total + _below(high, outputs[:, 0], deviation) - _below(low, outputs[:, 0], deviation)
    return total


def _below(end: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Of an interval without an end there, 0 or 1, which has no slope: through infinity there is none."""
    finite = torch.isfinite(end)
    probability = torch.special.ndtr((torch.where(finite, end, 0.0) - mean) / deviation)
    return torch.where(finite, probability, (end > 0).to(end.dtype))
