"""What rounding may do to a network's outputs, in a ball of inputs: a bound from what passes through at its centre.

Each module's outputs differ from those of exact arithmetic by what its inputs already differed, times its Lipschitz
constant, and by what its own arithmetic adds: at most ``γ_n |W| |x|`` entry by entry for inner products of n terms, in
any order and with or without fused operations (Higham 2002, section 3.1; ``γ_n = n u / (1 - n u)``). How large x is
comes from a pass that was observed at the centre, and what the ball adds is the radius times the Lipschitz constant of
everything before. Bounds are on L2 norms and grow linearly with the radius.
"""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.bound import Shape, composition, lipschitz_bound, nearest_type, output_shape
from lipnet.certify.evaluation import PLACE, Evaluation, norm_of_each
from lipnet.certify.faithful import unfaithful
from lipnet.certify.walk import named_parts
from lipnet.layers.shape import Normalize


@dataclass(frozen=True)
class Line:
    """``slope · r + offset``, both >= 0; the offset is a number, or one for each example."""

    slope: float
    offset: float | Tensor

    def __add__(self, other: "Line") -> "Line":
        return Line(self.slope + other.slope, self.offset + other.offset)

    def __mul__(self, factor: float) -> "Line":
        return Line(self.slope * factor, self.offset * factor)

    def at(self, radii: Tensor) -> Tensor:
        """Values at float64 radii, rounded up."""
        return (self.slope * radii + self.offset) * (1 + 1e-12)

    def highest(self, other: "Line") -> "Line":
        """A line above both."""
        return Line(max(self.slope, other.slope), torch.maximum(_wide(self.offset), _wide(other.offset)))

    def stacked(self, other: "Line") -> "Line":
        """Above the root of the sum of squares (Minkowski)."""
        return Line(math.hypot(self.slope, other.slope), torch.hypot(_wide(self.offset), _wide(other.offset)))


def _wide(value: float | Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


@dataclass(frozen=True)
class Rounding:
    """Bounds for a network evaluated in one precision, at inputs x' at a distance r from a centre or from an example.

    Attributes:
        error: on ``|computed outputs - exact outputs|`` at x', in L2.
        size: on the norm of the computed outputs.
        peak: on the largest number on the way; above the precision's largest one nothing is promised.
        seen: on the error of the pass that was observed, at the centre or the examples themselves.
        centre: what a first normalisation subtracts, 0 without one; the examples take its place in ``certify``.
    """

    error: Line
    size: Line
    peak: Line
    seen: float | Tensor = 0.0
    centre: Tensor | float = 0.0

    def norms(self, inputs: Tensor) -> Tensor:
        """``|x - centre|`` of each of ``(n, ...)`` inputs, float64, rounded up; in pieces, since they may be large."""
        return torch.cat([norm_of_each(batch.double() - self.centre) for batch in inputs.split(2000)])


@dataclass(frozen=True)
class Step:
    """What one module adds: its own rounding is at most ``relative · |inputs| + absolute``.

    A module of your own has it by ``@rounding_step.register(MyModule)``, a function of the module, the input shape and
    ``torch.finfo`` of the arithmetic; its Lipschitz rule is ``register_rule``'s.

    Attributes:
        zero: the norm of the module's exact output for an input of zeros.
        gain: no partial sum is larger than ``gain · |inputs| + zero``.
    """

    zero: float = 0.0
    relative: float = 0.0
    absolute: float = 0.0
    gain: float = 1.0


def rounding_bound(model: nn.Module, input_shape: Shape, dtype: torch.dtype) -> Rounding:
    """How far a forward pass in ``dtype`` may be from exact arithmetic, for inputs that ``dtype`` holds exactly.

    ``error.at(norms(inputs))`` bounds it without a pass at the inputs; radii are distances from ``centre``.

    It holds for sums in any order, as matrix products and direct convolutions take them; not for Winograd's or Fourier
    transforms, nor for lower precisions inside (TF32, bf16). Elementary functions (exp, tanh, erf) are taken to err by
    at most 4 ulps, as their libraries say.

    Args:
        model: in evaluation mode; its weights are those of ``dtype`` (``to_plain(model).to(dtype)``).
        dtype: ``torch.float32`` or ``torch.float64``.

    Raises:
        TypeError: a module has no Lipschitz rule, or rounds in a way that is not known here; the message names it.
    """
    lipschitz_bound(model, input_shape)  # it refuses what computes something else than the modules' own steps say
    like = next((tensor for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()), None)
    like = torch.zeros((), dtype=dtype) if like is None else like
    centre = torch.zeros(input_shape, dtype=like.dtype, device=like.device) + _first_mean(model)
    found = rounding_in_balls(model, tuple(input_shape), Evaluation(model).run(centre[None])[1], like.dtype, dtype)
    error, size, peak = (Line(line.slope, float(line.offset)) for line in (found.error, found.size, found.peak))
    return Rounding(error, size, peak, float(found.seen), centre.double())


def _first_mean(module: nn.Module) -> Tensor | float:
    """What a normalisation that comes first subtracts: images are nearer to that than to 0."""
    while composition(module) is nn.Sequential and len(module._modules):
        _, module = next(named_parts(module))
    return module.mean if isinstance(module, Normalize) else 0.0


def rounding_in_balls(
    model: nn.Module, shape: Shape, norms: Tensor, observed: torch.dtype, deployed: torch.dtype
) -> Rounding:
    """The rounding in balls about examples, from the ``norms`` that an ``Evaluation`` in ``observed`` found there.

    Raises:
        TypeError: as ``rounding_bound``.
    """
    for dtype in (observed, deployed):
        if dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"only float32 and float64 forward passes are certified, not {dtype}: it rounds too coarsely"
            )
    with torch.no_grad():
        follower = Follower(
            iter(norms.unflatten(1, (-1, PLACE)).unbind(1)), torch.finfo(observed), torch.finfo(deployed)
        )
        end = follower.through(model, shape, Passes(1.0, 0.0, Line(0.0, 0.0), Line(0.0, 0.0)))
        return Rounding(end.error, end.size(next(follower.norms)[:, 0]), end.peak, end.seen)


@dataclass(frozen=True)
class Passes:
    """How what reaches a module may differ between exact arithmetic, the observed and the deployed pass.

    Attributes:
        lipschitz: of everything before, in exact arithmetic.
        seen: how far the observed pass is from it, at the example.
        error: how far the deployed one is, at a distance r from the example.
        peak: the largest number of the deployed one so far.
    """

    lipschitz: float
    seen: float | Tensor
    error: Line
    peak: Line

    def size(self, norms: Tensor) -> Line:
        """Norms in the deployed pass: what was observed, as far as that, the ball and this pass may be apart."""
        return Line(self.lipschitz, norms + self.seen) + self.error

    def __add__(self, other: "Passes") -> "Passes":
        return Passes(
            self.lipschitz + other.lipschitz,
            self.seen + other.seen,
            self.error + other.error,
            self.peak.highest(other.peak),
        )

    def stacked(self, other: "Passes") -> "Passes":
        """The outputs of both passes, one after the other, as one."""
        return Passes(
            math.hypot(self.lipschitz, other.lipschitz),
            torch.hypot(_wide(self.seen), _wide(other.seen)),
            self.error.stacked(other.error),
            self.peak.highest(other.peak),
        )


@dataclass(frozen=True)
class Follower:
    """Follows both passes through a network, in the order of an ``Evaluation``."""

    norms: Iterator[Tensor]
    observed: torch.finfo
    deployed: torch.finfo

    def through(self, module: nn.Module, shape: Shape, before: Passes) -> Passes:
        """What leaves a module that inputs of a shape reach."""
        kind = composition(module)
        if kind is not None:
            return _COMPOSE[kind](self, module, shape, before)
        _refuse_other_functions(module)
        inside = nearest_type(module, _INSIDE)
        if inside is not None:
            return _INSIDE[inside](self, module, shape, before)
        steps = functools.partial(rounding_step, module, shape)
        return self.after(before, lipschitz_bound(module, shape), steps)

    def after(self, before: Passes, lipschitz: float, step_in: Callable[[torch.finfo], Step]) -> Passes:
        """What leaves a module of such a constant and step, for which the ``Evaluation`` has noted a place."""
        step = step_in(self.deployed)
        there = step if self.observed == self.deployed else step_in(self.observed)
        norms, whole, in_float32 = next(self.norms).unbind(1)

        def size(precision: torch.finfo) -> Tensor:
            return _reach(norms, in_float32 if precision.bits == 32 else whole, step.gain)

        own = before.size(size(self.deployed)) * step.relative + Line(0.0, step.absolute)
        reach = before.size(_reach(norms, whole, step.gain))
        largest = reach * max(step.gain, lipschitz) + Line(0.0, step.zero) + own
        return Passes(
            before.lipschitz * lipschitz,
            before.seen * lipschitz + size(self.observed) * there.relative + there.absolute,
            before.error * lipschitz + own,
            before.peak.highest(largest),
        )


def _refuse_other_functions(module: nn.Module) -> None:
    """A subclass may have a Lipschitz rule of its own and compute in another way than its ancestor, whose step it has.

    Raises:
        TypeError: naming it.
    """
    kind = nearest_type(module, (rounding_step.registry.keys() | _INSIDE.keys()) - {object, nn.Module})
    reason = unfaithful(module, kind) if kind is not None else None
    if reason is not None:
        raise TypeError(f"it is not known how {type(module).__name__} rounds: {reason}")


def _reach(norms: Tensor, sums: Tensor, gain: float) -> Tensor:
    """Norms of inputs or, where that is less, ``sums / | |W| |``: a module's rounding is relative to either.

    A billionth of the norms, and of 1, stands for numbers that are flushed to 0 on the way, weights among them.
    """
    return torch.minimum(norms, sums / gain + 1e-9 * (norms + 1)) if gain > 1e-12 else norms


# How the passes go through a composition of each kind, and through a module with a rule of its own of which an
# ``Evaluation`` notes what passes inside: (follower, module, shape of its inputs, what reaches it).
Composed = Callable[[Follower, Any, Shape, Passes], Passes]
_COMPOSE: dict[type[nn.Module], Composed] = {}
_INSIDE: dict[type[nn.Module], Composed] = {}


def register_passes(kind: type[nn.Module]) -> Callable[[Composed], Composed]:
    """Registers how both passes go through the parts of a module that does nothing but call them."""

    def register(composed: Composed) -> Composed:
        _COMPOSE[kind] = composed
        return composed

    return register


def register_passes_inside(*kinds: type[nn.Module]) -> Callable[[Composed], Composed]:
    """Registers how both passes go through a module that has a rule of its own, and no step."""

    def register(composed: Composed) -> Composed:
        _INSIDE.update(dict.fromkeys(kinds, composed))
        return composed

    return register


@functools.singledispatch
def rounding_step(module: nn.Module, shape: Shape, precision: torch.finfo) -> Step:
    """How a module rounds on inputs of a shape (without batch axis); ``lipnet.certify.rules`` says it of each."""
    raise TypeError(
        f"it is not known how {type(module).__name__} rounds, so nothing it is part of can be certified in floating "
        "point; use modules that lipnet.certify.rounding knows, or register its step with rounding_step"
    )


StepRule = Callable[[Any, Shape, torch.finfo], Step]


def register_step(*module_types: type[nn.Module]) -> Callable[[StepRule], StepRule]:
    """``rounding_step.register`` of several types."""

    def register(rule: StepRule) -> StepRule:
        for kind in module_types:
            rounding_step.register(kind, rule)
        return rule

    return register


def exact(module: nn.Module, shape: Shape, precision: torch.finfo) -> Step:
    """The step of modules that compare, move, repeat or leave out numbers: they round nothing."""
    return Step()


def one_product(module: nn.Module, shape: Shape, precision: torch.finfo) -> Step:
    """The step of modules that take one product for each entry, or none."""
    entries = math.prod(output_shape(module, shape))
    lipschitz = lipschitz_bound(module, shape)
    relative = lipschitz * precision.eps + precision.tiny  # a factor may be flushed to 0, too
    return Step(0.0, relative, math.sqrt(entries) * precision.tiny)


def products_step(terms: int, gain: float, zero: float, entries: int, precision: torch.finfo) -> Step:
    """``W x + b``, sums of so many terms; subnormal numbers may be flushed to 0, weights among them.

    Args:
        gain: the norm of ``|W|``.
        zero: that of b.
        entries: of the output.
    """
    relative = gamma(terms + 2, precision)
    lost = 2 * (terms + 1) * math.sqrt(entries) * precision.tiny
    return Step(zero, relative * gain + lost, relative * zero + lost, gain)


def gamma(count: int, precision: torch.finfo) -> float:
    """``γ_n``: how far an inner product of n terms is off, relative to that of absolute values."""
    unit = precision.eps / 2
    return count * unit / (1 - count * unit) if count * unit < 0.5 else math.inf
