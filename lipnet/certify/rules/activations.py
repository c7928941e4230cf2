"""Activations: the largest slope, and the rounding of one entry."""

import math
from typing import Any

import torch
from torch import nn

from lipnet.certify.bound import Refusal, Shape, output_shape, register_rule
from lipnet.certify.norm import up
from lipnet.certify.rounding import Step, exact, one_product, register_step
from lipnet.layers.activations.sorting import Abs, GroupSort, MaxMin

# The largest slope of each, rounded up; GELU's is 1.12890 (at sqrt(2)) and its approximation's 1.12898.
SLOPES: dict[type[nn.Module], float] = {
    nn.GELU: 1.129,
    nn.Hardsigmoid: 0.16666669,  # torch takes a float32 sixth for its gradient
    nn.Hardswish: 1.5,
    nn.Mish: 1.0885,
    nn.SELU: 1.7580993408473768,
    nn.Sigmoid: 0.25,
    nn.SiLU: 1.0999,
}


@register_rule(
    Abs, GroupSort, MaxMin, nn.Hardtanh, nn.LogSigmoid, nn.ReLU, nn.ReLU6, nn.Softshrink, nn.Softsign, nn.Tanh,
    nn.Tanhshrink,
)  # fmt: skip
def _one(module: nn.Module, shape: Shape) -> float:
    return 1.0


@register_rule(*SLOPES)
def _largest_slope(module: nn.Module, shape: Shape) -> float:
    return SLOPES[next(kind for kind in type(module).__mro__ if kind in SLOPES)]


@register_rule(nn.LeakyReLU)
def _leaky(module: nn.LeakyReLU, shape: Shape) -> float:
    return _largest(module.negative_slope)


@register_rule(nn.PReLU)
def _learned(module: nn.PReLU, shape: Shape) -> float:
    return _largest(float(module.weight.abs().max()))


@register_rule(nn.RReLU)
def _randomized(module: nn.RReLU, shape: Shape) -> float:
    if module.training:
        raise Refusal("in training mode its slopes are random; call .eval() first")
    return _largest(up(abs(module.lower + module.upper) / 2))


@register_rule(nn.ELU, nn.CELU)
def _exponential(module: Any, shape: Shape) -> float:
    """``α (exp x - 1)`` has slopes up to ``|α|``; CELU's ``α (exp(x / α) - 1)`` up to 1, for positive α."""
    if isinstance(module, nn.ELU):
        return _largest(module.alpha)
    if not module.alpha > 0:
        raise Refusal(f"alpha={module.alpha} makes it grow without bound; use alpha > 0")
    return 1.0


def _largest(slope: float) -> float:
    """The larger of a slope's size and 1; infinite where the slope is NaN, of which ``max`` would make 1."""
    return math.inf if math.isnan(slope) else max(1.0, abs(slope))


register_step(Abs, GroupSort, MaxMin, nn.ReLU, nn.ReLU6)(exact)
register_step(nn.LeakyReLU, nn.PReLU)(one_product)


@register_step(nn.ELU, nn.GELU, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Tanh)
def _smooth_step(module: nn.Module, shape: Shape, precision: torch.finfo) -> Step:
    """A few operations and one elementary function, on numbers of at most the input's size and 2."""
    entries = math.prod(output_shape(module, shape))
    error = 32 * precision.eps
    zero = 0.5 * math.sqrt(entries) if isinstance(module, nn.Sigmoid) else 0.0
    scale = max(1.0, abs(getattr(module, "alpha", 1.0)))
    return Step(zero, scale * error, 2 * scale * math.sqrt(entries) * error, gain=2 * scale)
