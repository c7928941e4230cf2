"""Modules that are made of others, which multiply, add, or add squares; and cones, a whole network in one."""

import functools
import math

import torch
from torch import nn

from lipnet.certify.bound import BoundOfPart, Shape, output_shape, register_composition, register_rule
from lipnet.certify.norm import up
from lipnet.certify.rounding import Follower, Passes, Step, gamma, register_passes, register_step
from lipnet.certify.walk import parts
from lipnet.layers.blocks.composition import Concat, Residual
from lipnet.layers.blocks.cones import Cones
from lipnet.layers.blocks.mean import Mean


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
