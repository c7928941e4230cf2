"""Constraints on outputs: what they forbid, and the factor by which each one changes a prior (Yang et al. 2019)."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lipnet.errors import UserError
from lipnet.options.constraints import polynomials
from lipnet.options.posteriors import NEAR, Classification, Problem, Regression

Factor = Callable[[Tensor], Tensor]  # outputs ``(..., points, outputs) -> (...)``
Ends = tuple[
    Tensor, Tensor
]  # the low and the high end of an interval, ``(points,)`` each; infinite where there is none


@dataclass(frozen=True)
class Function:
    """A registered one.

    Attributes:
        permitted: ``(points, coordinates) -> list of (low, high)``, the permitted intervals at each point.
        lipschitz: of the ends; ``None`` where it is not known, so that nothing is proved.
    """

    permitted: Callable[[Tensor], list[Ends]]
    lipschitz: float | None


_FUNCTIONS: dict[str, Function] = {}


def register_constraint(name: str, lipschitz: float | None = None) -> Callable[[Any], Any]:
    """Registers ``f(x) -> list of permitted (low, high)`` for ``{inputs: ..., function: NAME}``.

    Args:
        lipschitz: an L2 Lipschitz constant of the ends of all intervals, which a proof needs.
    """

    def register(permitted: Callable[[Tensor], list[Ends]]) -> Callable[[Tensor], list[Ends]]:
        _FUNCTIONS[name] = Function(permitted, lipschitz)
        return permitted

    return register


@dataclass(frozen=True)
class Constraint:
    """One constraint, on a box of inputs.

    Attributes:
        box: ``(coordinates, 2)``, float64.
        written: as it is in the configuration.
        option: of the data set, with the keys of the factors.
    """

    box: Tensor
    written: Mapping[str, Any]
    option: Problem

    @property
    def kind(self) -> str:
        """``permitted``, ``forbidden``, ``curves``, ``classes`` or ``function``."""
        return next(key for key in self.written if key != "inputs")

    @property
    def content(self) -> Any:
        return self.written[self.kind]

    def points(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Inputs in the box ``(about count, coordinates)``: evenly spaced in each, or random ones of a generator.

        Of many coordinates an even grid would be too coarse, and Sobol's sequence is taken.
        """
        dimensions = len(self.box)
        if generator is not None:
            unit = torch.rand(count, dimensions, generator=generator, dtype=torch.float64)
        elif dimensions <= 2:
            side = max(2, round(count ** (1 / dimensions)))
            line = torch.linspace(0, 1, side, dtype=torch.float64)
            unit = torch.cartesian_prod(*[line] * dimensions).view(-1, dimensions)
        else:
            unit = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=0).draw(count).double()
        low, high = self.box.T
        return low + unit * (high - low)

    def permitted(self, inputs: Tensor) -> list[Ends]:
        """The permitted intervals at inputs ``(points, coordinates)``; of curves, within two standard deviations."""
        if self.kind == "function":
            return _FUNCTIONS[self.content].permitted(inputs)
        if self.kind == "curves":
            assert isinstance(self.option, Regression)
            centres, reach = [polynomial(curve, inputs) for curve in self.content], NEAR * self.option.spread
            return [(centre - reach, centre + reach) for centre in centres]
        ends = [(_end(low, inputs, -math.inf), _end(high, inputs, math.inf)) for low, high in self.content]
        return ends if self.kind == "permitted" else complement(ends)

    def violated(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Where outputs ``(..., points, outputs)`` break it, as one that is no number does: ``(..., points)`` bool."""
        if self.kind == "classes":
            return ~(excess_of_classes(outputs, self.content) < 0)
        return ~(excess_of_intervals(outputs[..., 0], self.permitted(inputs)) <= 0)

    def excess(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """By how much outputs break it, below 0 by how much they keep it: ``(..., points)``, Lipschitz in the outputs.

        Of intervals, the distance from the nearest end; of classes, the best logit of a forbidden class less the best
        of a permitted one, over ``sqrt(2)``.
        """
        if self.kind == "classes":
            return excess_of_classes(outputs, self.content) / math.sqrt(2)
        return excess_of_intervals(outputs[..., 0], self.permitted(inputs))

    def log_factor(self, inputs: Tensor) -> Factor:
        """The logarithm of its factor of the prior, looked at in these points ``(points, coordinates)``."""
        option = self.option
        if isinstance(option, Classification):
            return functools.partial(_dirichlet, permitted=self.content, concentration=option.concentration)
        if self.kind == "curves":
            assert isinstance(option, Regression)
            centres = torch.stack([polynomial(curve, inputs) for curve in self.content])
            return functools.partial(_mixture, centres=centres, spread=option.spread)
        return functools.partial(_soft_violation, forbidden=self.forbidden(inputs), option=option)

    def forbidden(self, inputs: Tensor) -> list[Ends]:
        """The forbidden intervals at inputs."""
        if self.kind == "forbidden":
            return [(_end(low, inputs, -math.inf), _end(high, inputs, math.inf)) for low, high in self.content]
        return complement(self.permitted(inputs))


def constraints_of(option: Problem, domain: Tensor) -> list[Constraint]:
    """Those of a data set; a coordinate that a constraint leaves out has the range of ``domain``.

    Raises:
        UserError: no function of such a name is registered.
    """
    found = []
    for written in option.constraints:
        if "function" in written and written["function"] not in _FUNCTIONS:
            known = f"there are {', '.join(_FUNCTIONS)}" if _FUNCTIONS else "there is none"
            raise UserError(
                f"dataset.constraints: no function {written['function']} is registered; {known}. A module of yours "
                "adds one by lipnet.tasks.bayes.constraints.register_constraint, and is named with plugins=[MODULE]."
            )
        sides = [domain[axis].tolist() if side is None else side for axis, side in enumerate(written["inputs"])]
        found.append(Constraint(torch.tensor(sides, dtype=torch.float64), written, option))
    return found


def _dirichlet(outputs: Tensor, permitted: Sequence[int], concentration: Sequence[float]) -> Tensor:
    concentrations = torch.full((outputs.shape[-1],), concentration[1], dtype=outputs.dtype)
    concentrations[list(permitted)] = concentration[0]
    return (functional.log_softmax(outputs, -1) * (concentrations - 1)).sum((-2, -1))


def _mixture(outputs: Tensor, centres: Tensor, spread: float) -> Tensor:
    """Of Gaussians about the curves ``(curves, points)``, at each point."""
    squares = (outputs[..., None, :, 0] - centres) ** 2
    mixed = torch.logsumexp(-squares / (2 * spread**2), -2) - math.log(len(centres))
    return mixed.sum(-1)


def _soft_violation(outputs: Tensor, forbidden: list[Ends], option: Problem) -> Tensor:
    values, total = outputs[..., 0], torch.zeros_like(outputs[..., 0])
    for low, high in forbidden:
        inside = torch.ones_like(values)
        if bool((low > -math.inf).any()):
            inside = inside * membership(low - values, option.temperatures)
        if bool((high < math.inf).any()):
            inside = inside * membership(values - high, option.temperatures)
        total = total + inside
    return -option.weight * total.mean(-1)


def membership(excess: Tensor, temperatures: Sequence[float]) -> Tensor:
    """Soft membership in ``excess <= 0``: near 1 well below 0, near 0 above."""
    first, second = temperatures  # (tanh(-t x) + 1) / 2 is the logistic function of -2 t x
    return torch.sigmoid(-2 * first * excess) * torch.sigmoid(-2 * second * excess)


def polynomial(end: Any, inputs: Tensor) -> Tensor:
    """An end's value at inputs ``(points, coordinates)``: ``(points,)``."""
    total = torch.zeros_like(inputs[:, 0])
    for coefficients, x in zip(polynomials(end, inputs.shape[1]), inputs.unbind(1), strict=True):
        value = torch.zeros_like(x)
        for coefficient in reversed(coefficients):
            value = value * x + coefficient
        total = total + value
    return total


def _end(end: Any, inputs: Tensor, missing: float) -> Tensor:
    return torch.full_like(inputs[:, 0], missing) if end is None else polynomial(end, inputs)


def complement(intervals: list[Ends]) -> list[Ends]:
    """What lies between intervals, and beside them, at each point; they may overlap, but not change places."""
    centres = [((low + high) / 2).detach() for low, high in intervals]  # inputs are differentiated in a search
    middle = [float(torch.nan_to_num(centre, posinf=1e300, neginf=-1e300).mean()) for centre in centres]
    ordered = [intervals[place] for place in sorted(range(len(intervals)), key=middle.__getitem__)]
    infinite = torch.full_like(ordered[0][0], math.inf)
    gaps = [(-infinite, ordered[0][0]), *((one[1], other[0]) for one, other in pairwise(ordered))]
    gaps.append((ordered[-1][1], infinite))
    return [(low, high) for low, high in gaps if bool((low < high).any())]


def excess_of_intervals(values: Tensor, permitted: list[Ends]) -> Tensor:
    """The distance of values ``(..., points)`` from what is permitted; negative inside, to the nearer end."""
    each = torch.stack([torch.maximum(low - values, values - high) for low, high in permitted])
    return each.amin(0)


def excess_of_classes(logits: Tensor, permitted: Sequence[int]) -> Tensor:
    """The best logit of a class that is not permitted, less the best of one that is."""
    allowed = torch.zeros(logits.shape[-1], dtype=torch.bool)
    allowed[list(permitted)] = True
    return logits[..., ~allowed].amax(-1) - logits[..., allowed].amax(-1)
