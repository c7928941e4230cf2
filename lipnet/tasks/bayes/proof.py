"""Proofs that a network keeps its constraints at every point of their regions, not only at those that are looked at.

A region is cut into cells. At a cell's centre c the network is evaluated; nowhere in the cell is the excess of a
constraint larger than its excess there plus ``(L + E) r``, with L the network's proved Lipschitz constant, E that of
the ends of the constraint's intervals, and r the distance of the corners from c. Errors of the arithmetic are added. A
cell for which that says nothing is halved along its longest side, until all are proved, one is refuted, or there are
too many.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipnet.certify import Rounding, lipschitz_bound, rounding_bound
from lipnet.certify.plain import to_plain
from lipnet.options.constraints import polynomials
from lipnet.tasks.bayes.constraints import _FUNCTIONS, Constraint

_EPS = torch.finfo(torch.float64).eps
_UP = 1 + 1e-12  # more than the few roundings of sums and products of float64 numbers here


@dataclass(frozen=True)
class Outcome:
    """What a search for a proof came to.

    Attributes:
        proved: whether every cell is.
        cells: how many were looked at.
        witness: an input ``(coordinates,)`` at which the constraint is violated, where one was met.
    """

    proved: bool
    cells: int
    witness: Tensor | None = None


class Checked:
    """A network in float64, with what is proved of it on inputs of a shape; it holds for its outputs as computed."""

    def __init__(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        self.network = to_plain(network.eval()).double().requires_grad_(False)
        self.lipschitz = lipschitz_bound(self.network, shape)
        self.rounding: Rounding = rounding_bound(self.network, shape, torch.float64)

    def error(self, inputs: Tensor) -> Tensor:
        """How far computed outputs may be off, in L2."""
        return self.rounding.error.at(self.rounding.norms(inputs))


@torch.no_grad()
def prove(checked: Checked, constraint: Constraint, limit: int) -> Outcome:
    """Looks for a proof with at most about ``limit`` cells."""
    ends = lipschitz_of_ends(constraint)
    if ends is None or not math.isfinite(checked.lipschitz):
        return Outcome(False, 0)
    slope = (checked.lipschitz + ends) * _UP
    farthest = constraint.box.abs().amax(1)[None]  # no input of the box has a larger norm
    anywhere = float(checked.error(farthest).max())
    low, high = constraint.box[None, :, 0], constraint.box[None, :, 1]
    looked = 0
    while len(low):
        centres = low + (high - low) / 2
        radii = torch.linalg.vector_norm(torch.maximum(centres - low, high - centres), dim=1) * _UP
        outputs = checked.network(centres)
        own = checked.error(centres) + arithmetic_of_ends(constraint, centres, outputs)
        excess = constraint.excess(centres, outputs)
        looked += len(centres)
        refuted = excess > own
        if bool(refuted.any()):
            return Outcome(False, looked, centres[int(refuted.double().argmax())])
        open_ = ~(excess + (slope * radii + own + anywhere) * _UP < 0)
        if not bool(open_.any()):
            return Outcome(True, looked)
        low, high = halved(low[open_], high[open_])
        if looked + len(low) > limit:
            return Outcome(False, looked)
    return Outcome(True, looked)


def halved(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Both halves of each cell, cut across its longest side."""
    widths = high - low
    axis = widths.argmax(1, keepdim=True)
    middle = low.gather(1, axis) + widths.gather(1, axis) / 2
    return torch.cat([low, low.scatter(1, axis, middle)]), torch.cat([high.scatter(1, axis, middle), high])


def lipschitz_of_ends(constraint: Constraint) -> float | None:
    """Of the ends of its intervals, in the box; ``None`` where it is not known."""
    if constraint.kind == "function":
        return _FUNCTIONS[constraint.content].lipschitz
    largest = constraint.box.abs().amax(1).tolist()
    bounds = [0.0]
    for end in _ends(constraint):
        slopes = [
            sum(power * abs(coefficient) * reach ** (power - 1) for power, coefficient in enumerate(each) if power)
            for each, reach in zip(polynomials(end, len(largest)), largest, strict=True)
        ]
        bounds.append(math.hypot(*slopes) * _UP)
    return max(bounds)


def arithmetic_of_ends(constraint: Constraint, inputs: Tensor, outputs: Tensor) -> Tensor:
    """How far the excess may be off by its own arithmetic, from outputs ``(points, outputs)``: ``(points,)``."""
    size = outputs.abs().amax(1) + sum(_magnitude(end, inputs) for end in _ends(constraint))
    if constraint.kind == "function":
        ends = torch.stack([end for pair in constraint.permitted(inputs) for end in pair])
        size = size + torch.where(torch.isfinite(ends), ends.abs(), 0.0).sum(0)
    elif constraint.kind == "curves":
        size = size + 2 * float(getattr(constraint.option, "spread", 0.0))
    return 8 * _EPS * size + 1e-300


def _magnitude(end: object, inputs: Tensor) -> Tensor:
    """``Σ (2 k + 4) |a_k| |x|^k``: what errors of Horner's scheme are relative to."""
    total = torch.zeros_like(inputs[:, 0])
    for coefficients, x in zip(polynomials(end, inputs.shape[1]), inputs.abs().unbind(1), strict=True):
        for power, coefficient in enumerate(coefficients):
            total = total + (2 * power + 4) * abs(coefficient) * x**power
    return total


def _ends(constraint: Constraint) -> list[object]:
    if constraint.kind in ("classes", "function"):
        return []
    if constraint.kind == "curves":
        return list(constraint.content)
    return [end for interval in constraint.content for end in interval if end is not None]
