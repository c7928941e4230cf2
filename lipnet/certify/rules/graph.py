"""Graphs, whose bounds add up node by node, and the modules that graphs are made of beside layers."""

import functools
import math

import torch

from lipnet.certify.bound import BoundOfPart, Refusal, Shape, register_composition, register_rule
from lipnet.certify.norm import EPS, up
from lipnet.certify.rounding import Follower, Passes, Step, exact, register_passes, register_step
from lipnet.certify.rules.blocks import sum_step
from lipnet.layers.blocks.graph import Affine, Graph, Rearranged, Sorted


def bounds_of(module: Graph, bound: BoundOfPart) -> list[float]:
    """A bound on each value as a function of the graph's input, from the bounds of its modules."""
    found = [1.0]
    for number, node in enumerate(module.nodes, 1):
        given = [found[source] for source in node.sources]
        if node.module is not None:
            inner = bound(f"calls.{number}", module.calls[str(number)], module.shapes[node.sources[0]])
            found.append(up(given[0] * inner))
        elif node.axis is None:
            found.append(functools.reduce(lambda total, other: up(total + other), given))
        else:
            found.append(up(up(math.hypot(*given))))
    return found


@register_composition(Graph)
def _graph(module: Graph, shape: Shape, bound: BoundOfPart) -> float:
    if tuple(shape) != module.shapes[0]:
        raise Refusal(f"it is a graph for inputs of {module.shapes[0]}, not of {tuple(shape)}")
    for node in module.nodes:
        added = {module.shapes[source] for source in node.sources} if node.module is None and node.axis is None else ()
        if len(added) > 1:
            raise Refusal(f"its node {node.name} adds values of {len(added)} shapes, which repeats some")
    return bounds_of(module, bound)[-1]


@register_passes(Graph)
def _graph_passes(follower: Follower, module: Graph, shape: Shape, before: Passes) -> Passes:
    found = [before]
    for number, node in enumerate(module.nodes, 1):
        given = [found[source] for source in node.sources]
        if node.module is not None:
            found.append(follower.through(module.calls[str(number)], module.shapes[node.sources[0]], given[0]))
        elif node.axis is None:
            total = given[0]
            for other in given[1:]:
                total = follower.after(total + other, 1.0, functools.partial(sum_step, math.prod(node.shape)))
            found.append(total)
        else:
            found.append(functools.reduce(Passes.stacked, given))
    return found[-1]


@register_rule(Rearranged)
def _rearranged(module: Rearranged, shape: Shape) -> float:
    """The root of how often an entry counts; of a pair, the larger and the smaller one are no more than both."""
    entries = math.prod(shape)
    counts = torch.bincount(module.codes.flatten(), minlength=1 + entries + 2 * len(module.pairs))
    uses = counts[1 : 1 + entries].clone()
    most = counts[1 + entries :].view(-1, 2).amax(1)
    for side in (0, 1):
        uses.index_add_(0, module.pairs[:, side], most)
    return up(math.sqrt(int(uses.max())))


@register_rule(Sorted)
def _sorted(module: Sorted, shape: Shape) -> float:
    return 1.0


register_step(Rearranged, Sorted)(exact)


@register_rule(Affine)
def _affine(module: Affine, shape: Shape) -> float:
    return float(module.scale.double().abs().max())


@register_step(Affine)
def _affine_step(module: Affine, shape: Shape, precision: torch.finfo) -> Step:
    """One product and one sum an entry."""
    steep, zero = float(module.scale.double().abs().max()), module.shift.double().expand(shape)
    shift = float(torch.linalg.vector_norm(zero)) * (1 + math.prod(shape) * EPS)
    lost = 4 * math.sqrt(math.prod(shape)) * precision.tiny
    return Step(shift, 4 * precision.eps * steep + lost, 4 * precision.eps * shift + lost, gain=max(1.0, steep))
