"""Modules that are made of others, which multiply, add, or add squares; and cones, a whole network in one."""

import functools
import math
from typing import Any

import torch
from torch import nn

from lipnet.certify.bound import (
    BoundOfPart,
    Refusal,
    Shape,
    image_size,
    output_shape,
    register_composition,
    register_rule,
)
from lipnet.certify.convolution import Geometry, bias_norm, conv_bound, conv_gain
from lipnet.certify.norm import EPS, nonnegative_norm_bound, norm_bound, up
from lipnet.certify.rounding import (
    Follower,
    Passes,
    Step,
    gamma,
    products_step,
    register_passes,
    register_passes_inside,
    register_step,
)
from lipnet.certify.walk import parts
from lipnet.layers.blocks.composition import Concat, Residual
from lipnet.layers.blocks.cones import Cones
from lipnet.layers.blocks.convex_potential import ConvexPotential, PlainConvexPotential
from lipnet.layers.blocks.mean import Mean
from lipnet.layers.blocks.mirrored import Mirrored
from lipnet.layers.blocks.sandwich import PlainSandwich, Sandwich
from lipnet.layers.convolutions.padded import same_padding


@register_composition(nn.Sequential)
def _sequence(module: nn.Module, shape: Shape, bound: BoundOfPart) -> float:
    product = 1.0
    for part in parts(module, shape):
        product = up(product * bound(part.name, part.module, part.input_shape))
    return product


@register_passes(nn.Sequential)
def _sequence_passes(follower: Follower, module: nn.Module, shape: Shape, before: Passes) -> Passes:
    for part in parts(module, shape):
        before = follower.through(part.module, part.input_shape, before)
    return before


@register_composition(Residual)
def _sum(module: Residual, shape: Shape, bound: BoundOfPart) -> float:
    branch = bound("branch", module.branch, shape)
    return up(branch + bound("shortcut", module.shortcut, shape))


@register_passes(Residual)
def _sum_passes(follower: Follower, module: Residual, shape: Shape, before: Passes) -> Passes:
    shortcut, branch = (follower.through(part, shape, before) for part in (module.shortcut, module.branch))
    return follower.after(shortcut + branch, 1.0, functools.partial(sum_step, math.prod(output_shape(module, shape))))


def sum_step(entries: int, precision: torch.finfo) -> Step:
    """One addition for each entry, relative to the computed sum."""
    return Step(0.0, precision.eps, 2 * math.sqrt(entries) * precision.tiny, gain=2.0)


@register_composition(Concat)
def _concatenation(module: Concat, shape: Shape, bound: BoundOfPart) -> float:
    bounds = [bound(part.name, part.module, shape) for part in parts(module, shape)]
    return up(up(math.hypot(*bounds)))  # hypot errs by less than an ulp


@register_passes(Concat)
def _concatenation_passes(follower: Follower, module: Concat, shape: Shape, before: Passes) -> Passes:
    return functools.reduce(Passes.stacked, [follower.through(part, shape, before) for part in module.branches])


@register_rule(ConvexPotential, PlainConvexPotential)
def _convex_potential(module: ConvexPotential | PlainConvexPotential, shape: Shape) -> float:
    """The eigenvalues of its Jacobian, ``I - 2 A D Aᵀ``, are between ``1 - 2 |A|²`` and 1."""
    return _descent_bound(_kernel_norms(module, shape)[0])


def _descent_bound(norm: float) -> float:
    return max(1.0, up(2 * up(norm * norm) - 1))


@register_passes_inside(ConvexPotential, PlainConvexPotential)
def _convex_potential_passes(
    follower: Follower, module: ConvexPotential | PlainConvexPotential, shape: Shape, before: Passes
) -> Passes:
    """Through both convolutions, which add their own rounding; what was off before is so times the block's constant."""
    (norm, gain), kernel = _kernel_norms(module, shape), module.weight
    pixels = math.prod(shape[1:])
    bias, hidden, entries = bias_norm(module, pixels), len(module.bias) * pixels, math.prod(shape)
    first = functools.partial(products_step, kernel[:, 0].numel(), gain, bias, hidden)
    second = functools.partial(products_step, kernel[0].numel(), gain, 0.0, entries)
    descent = follower.after(follower.after(before, norm, first), norm, second)
    seen, error = descent.seen - before.seen * norm**2, descent.error + before.error * -(norm**2)
    bound = _descent_bound(norm) * (1 + 1e-12)  # by more than these differences are off
    whole = Passes(
        before.lipschitz * bound, before.seen * bound + 2 * seen, before.error * bound + error * 2, descent.peak * 2
    )
    return follower.after(whole, 1.0, functools.partial(sum_step, entries))


def _kernel_norms(module: ConvexPotential | PlainConvexPotential, shape: Shape) -> tuple[float, float]:
    """Bounds on the norms of the convolution A and of the one with ``|A|``, on images of a shape."""
    kernel, size = module.weight, image_size(shape, 2)
    padding = same_padding(module.kernel_size)
    places = Geometry(size, (1, 1), (1, 1), (padding, padding), 1, module.padding_mode == "circular")
    return conv_bound(kernel, places), conv_gain(kernel, places)


@register_rule(Sandwich)
def _sandwich(module: Sandwich, shape: Shape) -> float:
    """Whatever Ψ is, the squared norm of ``[A B]``."""
    return up(norm_bound(module.rows.weight.detach().double().cpu()) ** 2)


@register_rule(PlainSandwich)
def _plain_sandwich(module: PlainSandwich, shape: Shape) -> float:
    scale = module.scale.detach().double().cpu()
    if not bool((scale > 0).all()):
        raise Refusal("its scales, which prove its constant, are not all positive")
    outer, inner = (part.detach().double().cpu() for part in (module.outer, module.inner))
    rows = torch.cat((outer.mT / scale[:, None], inner * scale[:, None]), dim=1) / math.sqrt(2)
    return up(norm_bound(rows, 4 * EPS * float(torch.linalg.matrix_norm(rows))) ** 2)


@register_step(Sandwich, PlainSandwich)
def _sandwich_step(module: Any, shape: Shape, precision: torch.finfo) -> Step:
    """``P relu(Q x + b)``: two layers; the entries of P and Q may themselves be off by a few ulps.

    ``h = Q x + b`` is off by ``e``, of a norm of at most ``γ (| |Q| | |x| + |b|)``, which P passes on times ``|P|``;
    and ``P relu(h + e)`` by ``γ | |P| |`` times the norm of what it is applied to, ``|Q| |x| + |b| + |e|``.
    """
    plain = module.plain() if isinstance(module, Sandwich) else module
    (inner, inner_gain), (outer, outer_gain) = (_matrix_norms(part) for part in (plain.inner, plain.outer))
    vectors, width = math.prod(shape[:-1]), max(plain.in_features, plain.out_features)
    bias = math.sqrt(vectors) * float(torch.linalg.vector_norm(plain.bias.detach().double()))
    off = gamma(width + 16, precision)

    def relative(hidden: float, sums: float) -> float:
        return (outer * off * sums + off * outer_gain * (hidden + off * sums)) * (1 + 1e-9)

    lost = 8 * (width + 4) * math.sqrt(vectors * width) * precision.tiny * (1 + inner_gain) * (1 + outer_gain)
    return Step(
        up(max(1.0, outer_gain) * bias), relative(inner, inner_gain) + lost, relative(1.0, 1.0) * bias + lost,
        gain=max(inner_gain, outer_gain * inner_gain),
    )  # fmt: skip


def _matrix_norms(part: torch.Tensor) -> tuple[float, float]:
    """Of a matrix and of its entries' sizes; ulps of the entries move both by less than 1e-4 of the latter."""
    matrix = part.detach().double().cpu()
    gain = nonnegative_norm_bound(matrix.abs())
    return norm_bound(matrix) + 1e-4 * gain, gain * (1 + 1e-4)


@register_composition(Mean)
def _mean(module: Mean, shape: Shape, bound: BoundOfPart) -> float:
    total = 0.0
    for weight, part in zip(module.weights.tolist(), parts(module, shape), strict=True):
        total = up(total + up(abs(weight) * bound(part.name, part.module, shape)))
    return total


@register_passes(Mean)
def _mean_passes(follower: Follower, module: Mean, shape: Shape, before: Passes) -> Passes:
    """Each term is rounded as it is multiplied, and as terms are added after it: relative to its own size."""
    count, entries = len(module.members), math.prod(output_shape(module, shape))
    reached = [follower.through(member, shape, before) for member in module.members]
    terms = []
    for weight, each in zip(module.weights.abs().tolist(), reached, strict=True):
        terms.append(follower.after(each, weight, functools.partial(_term_step, weight, count, entries)))
    return functools.reduce(Passes.__add__, terms)


def _term_step(weight: float, count: int, entries: int, precision: torch.finfo) -> Step:
    """One product and the additions; the sum of all terms is at most their number times the largest."""
    relative = 2 * gamma(count + 2, precision) * weight
    return Step(0.0, relative, 2 * math.sqrt(entries) * precision.tiny, gain=max(count * weight, precision.tiny))


@register_composition(Mirrored)
def _mirrored(module: Mirrored, shape: Shape, bound: BoundOfPart) -> float:
    return bound("inner", module.inner, shape)


@register_passes(Mirrored)
def _mirrored_passes(follower: Follower, module: Mirrored, shape: Shape, before: Passes) -> Passes:
    """As a mean of two; an image and its mirror image have one norm."""
    entries = math.prod(output_shape(module, shape))
    reached = [follower.through(module.inner, shape, before) for _ in range(2)]
    first, second = (follower.after(each, 0.5, functools.partial(_term_step, 0.5, 2, entries)) for each in reached)
    return first + second


@register_rule(Cones)
def _cones(module: Cones, shape: Shape) -> float:
    return 1.0


@register_step(Cones)
def _cones_step(module: Cones, shape: Shape, precision: torch.finfo) -> Step:
    """A distance, then a sum, of error γ each; of cones nearly level the wrong one may be taken: twice more."""
    reach = float(module.apices.double().norm(dim=1).max() + module.heights.double().abs().max())
    relative = 3 * gamma(module.in_features + 6, precision)
    lost = 6 * math.sqrt(module.in_features * precision.tiny)  # the root of squares that are flushed to 0
    # Distances are squared on the way: |x| √max < max / 4 and a reach of less than √max / 4 keep the squares finite.
    root = math.sqrt(precision.max)
    return Step(reach, relative, relative * reach + lost if reach < root / 4 else math.inf, gain=root)
