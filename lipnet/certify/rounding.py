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
from lipnet.certify.convolution import bias_norm, conv_gain
from lipnet.certify.evaluation import PLACE, Evaluation, children, norm_of_each
from lipnet.certify.faithful import unfaithful
from lipnet.certify.norm import nonnegative_norm_bound
from lipnet.certify.rules.linear import geometry
from lipnet.certify.rules.upsampling import interpolation_bound, interpolations, is_interpolation
from lipnet.certify.spectrum import DENSE_LAYERS
from lipnet.layers import (
    Abs,
    BlockedConv2d,
    BlockedLinear,
    Concat,
    Cones,
    ConstrainedConv2d,
    GroupSort,
    MaxMin,
    Normalize,
    PaddedConv2d,
    PixelUnshuffle,
    Residual,
    Scale,
)
from lipnet.layers.convolutions.constrained import EstimatedConv2d


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
        module = next(children(module))
    return module.mean if isinstance(module, Normalize) else 0.0


def rounding_in_balls(
    model: nn.Module, shape: Shape, norms: Tensor, observed: torch.dtype, deployed: torch.dtype
) -> Rounding:
    """The same for balls about examples, from the ``norms`` that an ``Evaluation`` in ``observed`` found there.

    Raises:
        TypeError: as ``rounding_bound``.
    """
    for dtype in (observed, deployed):
        if dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"only float32 and float64 forward passes are certified, not {dtype}: it rounds too coarsely"
            )
    with torch.no_grad():
        walk = _Walk(iter(norms.unflatten(1, (-1, PLACE)).unbind(1)), torch.finfo(observed), torch.finfo(deployed))
        end = walk.through(model, shape, _Passes(1.0, 0.0, Line(0.0, 0.0), Line(0.0, 0.0)))
        return Rounding(end.error, end.size(next(walk.norms)[:, 0]), end.peak, end.seen)


@dataclass(frozen=True)
class _Passes:
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

    def __add__(self, other: "_Passes") -> "_Passes":
        return _Passes(
            self.lipschitz + other.lipschitz, self.seen + other.seen, self.error + other.error,
            self.peak.highest(other.peak),
        )  # fmt: skip

    def stacked(self, other: "_Passes") -> "_Passes":
        """Of the outputs of both, one after the other."""
        return _Passes(
            math.hypot(self.lipschitz, other.lipschitz), torch.hypot(_wide(self.seen), _wide(other.seen)),
            self.error.stacked(other.error), self.peak.highest(other.peak),
        )  # fmt: skip


@dataclass(frozen=True)
class _Walk:
    """Follows both passes through a network, in the order of an ``Evaluation``."""

    norms: Iterator[Tensor]
    observed: torch.finfo
    deployed: torch.finfo

    def through(self, module: Any, shape: Shape, before: _Passes) -> _Passes:
        kind = composition(module)
        if kind is nn.Sequential:
            for child in children(module):
                before = self.through(child, shape, before)
                shape = output_shape(child, shape)
            return before
        if kind is Residual:
            shortcut, branch = (self.through(part, shape, before) for part in (module.shortcut, module.branch))
            entries = math.prod(output_shape(module, shape))
            return self._after(shortcut + branch, 1.0, lambda precision: _sum_step(entries, precision))
        if kind is Concat:
            return functools.reduce(_Passes.stacked, [self.through(part, shape, before) for part in module.branches])
        _refuse_other_functions(module)
        steps = functools.partial(rounding_step, module, shape)
        return self._after(before, lipschitz_bound(module, shape), steps)

    def _after(self, before: _Passes, lipschitz: float, step_in: Callable[[torch.finfo], Step]) -> _Passes:
        step = step_in(self.deployed)
        there = step if self.observed == self.deployed else step_in(self.observed)
        norms, whole, in_float32 = next(self.norms).unbind(1)

        def size(precision: torch.finfo) -> Tensor:
            return _reach(norms, in_float32 if precision.bits == 32 else whole, step.gain)

        own = before.size(size(self.deployed)) * step.relative + Line(0.0, step.absolute)
        reach = before.size(_reach(norms, whole, step.gain))
        largest = reach * max(step.gain, lipschitz) + Line(0.0, step.zero) + own
        return _Passes(
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
    kind = nearest_type(module, {*rounding_step.registry, *_EXACT, *_SCALING, *_SMOOTH} - {object, nn.Module})
    reason = unfaithful(module, kind) if kind is not None else None
    if reason is not None:
        raise TypeError(f"it is not known how {type(module).__name__} rounds: {reason}")


def _reach(norms: Tensor, sums: Tensor, gain: float) -> Tensor:
    """Norms of inputs or, where that is less, ``sums / | |W| |``: a module's rounding is relative to either.

    A billionth of the norms, and of 1, stands for numbers that are flushed to 0 on the way, weights among them.
    """
    return torch.minimum(norms, sums / gain + 1e-9 * (norms + 1)) if gain > 1e-12 else norms


def _sum_step(entries: int, precision: torch.finfo) -> Step:
    """One addition for each entry, relative to the computed sum."""
    return Step(0.0, precision.eps, 2 * math.sqrt(entries) * precision.tiny, gain=2.0)


_EXACT = (
    Abs, GroupSort, MaxMin, PixelUnshuffle, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
    nn.ChannelShuffle, nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d, nn.Dropout, nn.Dropout1d, nn.Dropout2d,
    nn.Dropout3d, nn.Flatten, nn.Identity, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.PixelShuffle, nn.PixelUnshuffle,
    nn.ReLU, nn.ReLU6, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d, nn.Unflatten,
    nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d,
)  # fmt: skip
_SCALING = (Scale, nn.LeakyReLU, nn.PReLU)  # one product for each entry, or none
_SMOOTH = (nn.ELU, nn.GELU, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Tanh)


@functools.singledispatch
def rounding_step(module: nn.Module, shape: Shape, precision: torch.finfo) -> Step:
    """How a module rounds on inputs of a shape (without batch axis)."""
    entries = math.prod(output_shape(module, shape))
    if isinstance(module, _EXACT):
        return Step()
    if isinstance(module, _SCALING):
        lipschitz = lipschitz_bound(module, shape)
        return Step(0.0, lipschitz * precision.eps, math.sqrt(entries) * precision.tiny)
    if isinstance(module, _SMOOTH):
        # A few operations and one elementary function, on numbers of at most the input's size and 2.
        error = 32 * precision.eps
        zero = 0.5 * math.sqrt(entries) if isinstance(module, nn.Sigmoid) else 0.0
        scale = max(1.0, abs(getattr(module, "alpha", 1.0)))
        return Step(zero, scale * error, 2 * scale * math.sqrt(entries) * error, gain=2 * scale)
    raise TypeError(
        f"it is not known how {type(module).__name__} rounds, so nothing it is part of can be certified in floating "
        "point; use modules that lipnet.certify.rounding knows, or register its step with rounding_step"
    )


for _dense in DENSE_LAYERS:

    @rounding_step.register(_dense)
    def _(module: Any, shape: Shape, precision: torch.finfo) -> Step:
        gain = nonnegative_norm_bound(module.weight.detach().double().cpu().abs())
        return _inner_products(module, gain, shape, precision)


@rounding_step.register(nn.AvgPool1d)
@rounding_step.register(nn.AvgPool2d)
@rounding_step.register(nn.AvgPool3d)
@rounding_step.register(nn.AdaptiveAvgPool1d)
@rounding_step.register(nn.AdaptiveAvgPool2d)
@rounding_step.register(nn.AdaptiveAvgPool3d)
def _(module: nn.Module, shape: Shape, precision: torch.finfo) -> Step:
    terms, lipschitz = math.prod(shape[1:]), lipschitz_bound(module, shape)  # no window has more pixels than the image
    sums = lipschitz * terms  # of a window, before the division
    lost = 2 * terms * math.sqrt(math.prod(output_shape(module, shape))) * precision.tiny
    return Step(0.0, _gamma(terms + 2, precision) * lipschitz + lost, lost, gain=sums)


@rounding_step.register(nn.Upsample)
def _(module: nn.Upsample, shape: Shape, precision: torch.finfo) -> Step:
    if not is_interpolation(module):
        image = torch.arange(math.prod(shape[1:]), dtype=torch.float64).view(1, 1, *shape[1:])
        if not torch.equal(module(image), module(image.float()).double()):
            raise TypeError(
                f"float32 and float64 take other nearest pixels in {module} of {shape[1:]} pixels, so neither is "
                "certified by the other; use a whole scale factor"
            )
        return Step()
    taps = 4 if module.mode == "bicubic" else 2
    exact = computed = gain = 1.0
    for matrix in interpolations(module, shape):
        # A place among n pixels is off by a few n u, a weight by 1.35 times that (the steepest slope of a cubic's) and
        # its polynomial's own rounding; a place that falls beyond a pixel finds another tap with a weight near 0.
        pixels, outputs = matrix.shape
        error = 16 * (pixels + 4) * precision.eps * math.sqrt((taps + 1) * outputs)
        exact *= interpolation_bound(matrix)
        computed *= interpolation_bound(matrix) + error
        gain *= nonnegative_norm_bound(matrix.abs()) + error
    terms = (taps + 1) ** len(shape[1:])
    lost = 2 * (terms + 1) * math.sqrt(math.prod(output_shape(module, shape))) * precision.tiny
    drift = computed - exact + 8 * torch.finfo(torch.float64).eps * computed
    return Step(0.0, drift + _gamma(terms + 4, precision) * gain + lost, lost, gain)


@rounding_step.register(Cones)
def _(module: Cones, shape: Shape, precision: torch.finfo) -> Step:
    """A distance, then a sum, of error γ each; of cones nearly level the wrong one may be taken: twice more."""
    reach = float(module.apices.double().norm(dim=1).max() + module.heights.double().abs().max())
    gamma = 3 * _gamma(module.in_features + 6, precision)
    lost = 6 * math.sqrt(module.in_features * precision.tiny)  # the root of squares that are flushed to 0
    # Distances are squared on the way: |x| √max < max / 4 and a reach of less than √max / 4 keep the squares finite.
    root = math.sqrt(precision.max)
    return Step(reach, gamma, gamma * reach + lost if reach < root / 4 else math.inf, gain=root)


@rounding_step.register(Normalize)
def _(module: Normalize, shape: Shape, precision: torch.finfo) -> Step:
    zero = float(torch.linalg.vector_norm((module.mean.double() / module.std.double()).expand(shape)))
    lipschitz = lipschitz_bound(module, shape)
    lost = 2 * math.sqrt(math.prod(shape)) * precision.tiny * (1 + lipschitz)
    return Step(zero, 2 * precision.eps * lipschitz, 2 * precision.eps * zero + lost)


@rounding_step.register(nn.BatchNorm1d)
@rounding_step.register(nn.BatchNorm2d)
@rounding_step.register(nn.BatchNorm3d)
@rounding_step.register(nn.SyncBatchNorm)
def _(module: Any, shape: Shape, precision: torch.finfo) -> Step:
    lipschitz = lipschitz_bound(module, shape)
    assert module.running_var is not None
    assert module.running_mean is not None
    pixels, scale = math.sqrt(math.prod(shape[1:])), (module.running_var.double() + module.eps).rsqrt()
    scale = scale if module.weight is None else scale * module.weight.double().abs()
    shift = float(torch.linalg.vector_norm(module.running_mean.double() * scale))
    shift += 0.0 if module.bias is None else float(torch.linalg.vector_norm(module.bias.double()))
    lost = 8 * math.sqrt(math.prod(shape)) * precision.tiny
    return Step(
        pixels * shift, 8 * precision.eps * lipschitz + lost, 8 * precision.eps * pixels * shift + lost, lipschitz
    )


@rounding_step.register(PaddedConv2d)
@rounding_step.register(BlockedConv2d)
@rounding_step.register(ConstrainedConv2d)
@rounding_step.register(EstimatedConv2d)
@rounding_step.register(nn.Conv1d)
@rounding_step.register(nn.Conv2d)
@rounding_step.register(nn.Conv3d)
def _(module: Any, shape: Shape, precision: torch.finfo) -> Step:
    return _inner_products(module, conv_gain(module.weight, geometry(module, shape)), shape, precision)


def _inner_products(module: Any, gain: float, shape: Shape, precision: torch.finfo) -> Step:
    """``W x + b``, ``gain`` the norm of ``|W|``; subnormal numbers may be flushed to 0, weights among them."""
    weight, entries = module.weight, math.prod(output_shape(module, shape))
    blocked = isinstance(module, BlockedConv2d | BlockedLinear)
    terms = sum(module.stages(getattr(torch, precision.dtype))) if blocked else weight[0].numel()
    zero = bias_norm(module, entries // len(weight))
    gamma = _gamma(terms + 2, precision)
    lost = 2 * (terms + 1) * math.sqrt(entries) * precision.tiny
    return Step(zero, gamma * gain + lost, gamma * zero + lost, gain)


def _gamma(count: int, precision: torch.finfo) -> float:
    unit = precision.eps / 2
    return count * unit / (1 - count * unit) if count * unit < 0.5 else math.inf
