"""Activations: the largest slope, and the rounding of one entry."""

import math
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from lipnet.certify.bound import Refusal, Shape, output_shape, register_rule
from lipnet.certify.norm import up
from lipnet.certify.rounding import Step, exact, gamma, one_product, register_step
from lipnet.layers.activations.beta_abs import BetaAbs
from lipnet.layers.activations.gaussian import Gaussian
from lipnet.layers.activations.householder import Householder
from lipnet.layers.activations.n_activation import NActivation
from lipnet.layers.activations.sorting import Abs, GroupSort, MaxMin
from lipnet.layers.activations.spline import FixedSpline, LinearSpline, PlainSpline

# The largest slope of each, rounded up; GELU's is 1.12890 (at sqrt(2)) and its approximation's 1.12898.
SLOPES: dict[type[nn.Module], float] = {
    Gaussian: 0.8577638849607069,  # sqrt(2 / e), at 1 / sqrt(2)
    nn.GELU: 1.129,
    nn.Hardsigmoid: 0.16666669,  # torch takes a float32 sixth for its gradient
    nn.Hardswish: 1.5,
    nn.Mish: 1.0885,
    nn.SELU: 1.7580993408473768,
    nn.Sigmoid: 0.25,
    nn.SiLU: 1.0999,
}


@register_rule(
    Abs, BetaAbs, GroupSort, Householder, MaxMin, NActivation, nn.Hardtanh, nn.LogSigmoid, nn.ReLU, nn.ReLU6,
    nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink,
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


@register_rule(FixedSpline, PlainSpline)
def _spline(module: PlainSpline, shape: Shape) -> float:
    """The largest slope: the function is a value at one point and the integral of the slopes from there."""
    if module.slopes.shape != (module.splines, module.knots - 1):
        raise Refusal(f"it has slopes of {tuple(module.slopes.shape)}, not of ({module.splines}, {module.knots - 1})")
    if not 0 < module.range < math.inf or not bool(torch.isfinite(module.starts).all()):
        return math.inf
    return float(module.slopes.double().abs().max())


@register_rule(LinearSpline)
def _learned_spline(module: LinearSpline, shape: Shape) -> float:
    """Of the slopes as they are rounded to the layer's own precision; clipped ones are at most 1 in any."""
    return _spline(module.fixed(), shape)


def _largest(slope: float) -> float:
    """The larger of a slope's size and 1; infinite where the slope is NaN, of which ``max`` would make 1."""
    return math.inf if math.isnan(slope) else max(1.0, abs(slope))


register_step(Abs, BetaAbs, GroupSort, MaxMin, nn.ReLU, nn.ReLU6)(exact)
register_step(nn.LeakyReLU, nn.PReLU)(one_product)


@register_step(nn.ELU, nn.GELU, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Tanh)
def _smooth_step(module: nn.Module, shape: Shape, precision: torch.finfo) -> Step:
    """A few operations and one elementary function, on numbers of at most the input's size and 2."""
    entries = math.prod(output_shape(module, shape))
    error = 32 * precision.eps
    zero = 0.5 * math.sqrt(entries) if isinstance(module, nn.Sigmoid) else 0.0
    scale = max(1.0, abs(getattr(module, "alpha", 1.0)))
    return Step(zero, scale * error, 2 * scale * math.sqrt(entries) * error, gain=2 * scale)


@register_step(Householder)
def _householder_step(module: Householder, shape: Shape, precision: torch.finfo) -> Step:
    """``z - 2 min(0, <v, z>) v`` of pairs, by sines and cosines that err by 4 ulps.

    The inner product is off by at most 6 eps |z|, its product with 2 v by 22 eps |z|, and the sum by eps |z| more.
    """
    lost = 8 * math.sqrt(math.prod(shape)) * precision.tiny
    return Step(0.0, 24 * precision.eps + lost, lost, gain=3.0)


@register_step(NActivation)
def _n_activation_step(module: NActivation, shape: Shape, precision: torch.finfo) -> Step:
    """One difference an entry; at an input of 0 the result is twice the bend that is nearest to it."""
    bends = module.bends.detach().double().cpu()
    nearest = torch.minimum(torch.maximum(torch.zeros(()), bends.amin(0)), bends.amax(0))
    pixels = math.sqrt(math.prod(shape[1:]))
    zero = up(2 * pixels * float(torch.linalg.vector_norm(nearest)) * (1 + 1e-12))
    lost = 2 * math.sqrt(math.prod(shape)) * precision.tiny
    return Step(zero, precision.eps, precision.eps * zero + lost, gain=3.0)


@register_step(Gaussian)
def _gaussian_step(module: nn.Module, shape: Shape, precision: torch.finfo) -> Step:
    """A square, which is off by an ulp of at most x², and ``exp(-t)`` of it, which loses ``t exp(-t)`` of that: < 1.

    Its values are at most 1, so that no error grows with the inputs.
    """
    entries = math.prod(output_shape(module, shape))
    return Step(math.sqrt(entries), 0.0, 32 * math.sqrt(entries) * precision.eps)


@register_step(FixedSpline, PlainSpline)
def _spline_step(module: PlainSpline, shape: Shape, precision: torch.finfo) -> Step:
    """``intercept + slope x`` of the piece where x is, or of its neighbour where x is next to their knot.

    Both are rounded, as the intercept is; neighbours differ by their change of slope times the distance to the knot.
    """
    slopes, starts = module.slopes.detach().double().cpu(), module.starts.detach().double().cpu()
    (count, pieces), steepest = slopes.shape, float(slopes.abs().max())
    intercepts = module.tables(slopes, starts, module.range, torch.float64)[1]
    # An intercept is a sum of the start and, of each piece, a product; their sizes add up to at most this.
    tabulated = gamma(pieces + 8, torch.finfo(torch.float64)) * (3 * steepest * module.range + starts.abs())
    misplaced = (slopes.diff(dim=1).abs() * _reach_of_places(pieces, module.range)).amax(1) * precision.eps
    each = math.sqrt(math.prod(shape) / count)  # as many numbers pass through each spline
    own = precision.eps * (intercepts.abs().amax(1) + tabulated) + 2 * tabulated + misplaced
    lost = 4 * precision.tiny * (1 + steepest * (1 + 2 * module.range / pieces))
    absolute = each * float(torch.linalg.vector_norm(own)) * (1 + 1e-4) + lost * math.sqrt(math.prod(shape))
    at_zero = intercepts[:, pieces // 2].abs() + tabulated
    return Step(
        each * float(torch.linalg.vector_norm(at_zero)),
        precision.eps * steepest * (1 + 1e-4) + lost,
        absolute if pieces * precision.eps < 1 / 8 else math.inf,  # places would be off by more than a piece
        max(1.0, 2 * steepest),
    )


@register_step(LinearSpline)
def _learned_spline_step(module: LinearSpline, shape: Shape, precision: torch.finfo) -> Step:
    return _spline_step(module.fixed(), shape, precision)


def _reach_of_places(pieces: int, reach: float) -> torch.Tensor:
    """Over ``precision.eps``, how far x may be from each inner knot and be placed on its wrong side.

    A place is the whole part of ``scale · x``, off by the product's rounding and the scale's, and by nothing where the
    scale is a power of two; of an odd number of pieces a half is added before.
    """
    knots, step = reach * (2 * torch.arange(1, pieces, dtype=torch.float64) / pieces - 1), 2 * reach / pieces
    if pieces % 2:
        return 2 * (knots.abs() + step)
    scale = Fraction(pieces) / Fraction(2 * reach)
    exact_products = scale.numerator.bit_count() == scale.denominator.bit_count() == 1
    return torch.zeros_like(knots) if exact_products else 1.5 * knots.abs()
