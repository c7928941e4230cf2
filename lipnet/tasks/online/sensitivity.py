"""How far a prediction can move when the observations that it is made from are a little wrong."""

import torch
from torch import Tensor

from lipnet.certify.norm import EPS
from lipnet.tasks.online.predictor import Predictor

_STARTS, _STEPS = 4, 10


def certified_sensitivity(predictor: Predictor, radius: float) -> float:
    """An upper bound on the change of the present prediction, rounding included, in the stream's units.

    It holds for every error of L2 norm at most ``radius`` in the last observations, over all of them and all their
    coordinates: the prediction is ``sum_i w_i f_i`` with weights that are fixed before, so its constant is at most
    ``sum_i w_i L_i``. Shift and scale are the same for inputs and outputs, and leave it as it is.
    """
    bounds, prediction = predictor.bounds(), predictor.predict()
    context, scale, shift = predictor.context(), predictor.scale, float(predictor.shift.norm())
    weights, within = prediction.weights, radius / scale
    raw = float(context.norm()) + radius + shift * len(context)
    size = raw / scale
    change = float(weights @ bounds.lipschitz) * (within + 8 * EPS * size)
    rounding = float(weights @ (bounds.relative * size + bounds.absolute))
    outputs = float(weights @ prediction.of_experts.norm(dim=1)) + 2 * shift + scale * change
    return (scale * (change + 2 * rounding) + 4 * (len(weights) + 8) * EPS * outputs) * (1 + 64 * EPS)


def attacked_sensitivity(predictor: Predictor, radius: float, random: torch.Generator) -> float:
    """The largest change that gradient ascent finds: from random errors of that norm, steps along the gradient."""
    context, prediction = predictor.context(), predictor.predict()
    error = _on_sphere(torch.randn(_STARTS, *context.shape, generator=random, dtype=torch.float64), radius)
    largest = 0.0
    for _ in range(_STEPS):
        error.requires_grad_()
        values = torch.einsum("e,ebd->bd", prediction.weights, predictor.of_experts(context + error))
        changes = (values - prediction.value).norm(dim=1)
        largest = max(largest, float(changes.detach().max()))
        (gradient,) = torch.autograd.grad(changes.sum(), error)
        error = _on_sphere(gradient, radius)
    return largest


def _on_sphere(directions: Tensor, radius: float) -> Tensor:
    """Of this norm but for rounding, downward."""
    norms = directions.flatten(1).norm(dim=1).clamp_min(torch.finfo(directions.dtype).tiny)
    return directions.detach() * (radius * (1 - 1e-12) / norms)[:, None, None]
