"""What rounding may do to a network's outputs: an a-priori bound, for a whole ball of inputs.

Each module's outputs differ from those of exact arithmetic by what its inputs already differed, times its Lipschitz
constant, and by what its own arithmetic adds: at most ``γ_n |W| |x|`` entry by entry for inner products of n terms, in
any order and with or without fused operations (Higham 2002, section 3.1; ``γ_n = n u / (1 - n u)``). Everything is a
bound on L2 norms that grows at most linearly with the norm ρ of the network's input.
"""

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lipnet.certify.bound import Shape, find_type, lipschitz_bound, output_shape
from lipnet.certify.convolution import bias_norm, conv_gain
from lipnet.certify.norm import nonnegative_norm_bound
from lipnet.certify.rules.linear import geometry
from lipnet.certify.rules.upsampling import interpolation_bound, interpolations, is_interpolation
from lipnet.certify.spectrum import DENSE_LAYERS
from lipnet.layers import (
    Abs,
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


@dataclass(frozen=True)
class Line:
    """``slope · ρ + offset``, both >= 0."""

    slope: float
    offset: float

    def __add__(self, other: "Line") -> "Line":
        return Line(self.slope + other.slope, self.offset + other.offset)

    def __mul__(self, factor: float) -> "Line":
        return Line(self.slope * factor, self.offset * factor)

    def at(self, norms: Tensor) -> Tensor:
        """Values at float64 norms, rounded up."""
        return (self.slope * norms + self.offset) * (1 + 1e-12)

    def highest(self, other: "Line") -> "Line":
        """A line above both."""
        return Line(max(self.slope, other.slope), max(self.offset, other.offset))


@dataclass(frozen=True)
class Rounding:
    """Bounds for a network evaluated in one precision, for inputs x with ``ρ = |x - centre|``.

    Attributes:
        error: on ``|computed outputs - exact outputs|``, in L2.
        size: on the norm of the computed outputs.
        peak: on the largest number on the way; above the precision's largest one nothing is promised.
        centre: what a first normalisation subtracts; 0 without one.
    """

    error: Line
    size: Line
    peak: Line
    centre: Tensor | float = 0.0

    def norms(self, inputs: Tensor) -> Tensor:
        """ρ of each of ``(n, ...)`` inputs, float64, rounded up; in pieces, since the inputs may be large."""
        pieces = [(batch.double() - self.centre).flatten(1).norm(dim=1) for batch in inputs.split(2000)]
        return torch.cat(pieces) * (1 + inputs[0].numel() * torch.finfo(torch.float64).eps)


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

    It holds for sums in any order, as matrix products and direct convolutions take them; not for Winograd's or Fourier
    transforms, nor for lower precisions inside (TF32, bf16). Elementary functions (exp, tanh, erf) are taken to err by
    at most 4 ulps, as their libraries say.

    Args:
        model: in evaluation mode; its weights are those of ``dtype`` (``to_plain(model).to(dtype)``).
        dtype: ``torch.float32`` or ``torch.float64``.

    Raises:
        TypeError: a module has no Lipschitz rule, or rounds in a way that is not known here; the message names it.
    """
    if dtype not in (torch.float32, torch.float64):
        raise TypeError(f"only float32 and float64 forward passes are certified, not {dtype}: it rounds too coarsely")
    start = Rounding(Line(0.0, 0.0), Line(1.0, 0.0), Line(1.0, 0.0))
    with torch.no_grad():
        return _follow(model, tuple(input_shape), start, dtype)


@functools.singledispatch
def _follow(module: nn.Module, shape: Shape, before: Rounding, dtype: torch.dtype) -> Rounding:
    step = rounding_step(module, shape, torch.finfo(dtype))
    lipschitz = lipschitz_bound(module, shape)
    local = before.size * step.relative + Line(0.0, step.absolute)
    size = before.size * lipschitz + Line(0.0, step.zero) + local
    peak = before.peak.highest(before.size * step.gain + Line(0.0, step.zero)).highest(size)
    return replace(before, error=before.error * lipschitz + local, size=size, peak=peak)


@_follow.register
def _(module: nn.Sequential, shape: Shape, before: Rounding, dtype: torch.dtype) -> Rounding:
    if find_type(module, (nn.Sequential,)) is None:  # it does something else with its modules
        return _follow.dispatch(nn.Module)(module, shape, before, dtype)
    for child in module._modules.values():
        assert child is not None
        before = _follow(child, shape, before, dtype)
        shape = output_shape(child, shape)
    return before


@_follow.register
def _(module: Normalize, shape: Shape, before: Rounding, dtype: torch.dtype) -> Rounding:
    """Where it comes first, norms are measured from its mean: images are nearer to that than to 0."""
    if before.size != Line(1.0, 0.0) or before.error != Line(0.0, 0.0):
        return _follow.dispatch(nn.Module)(module, shape, before, dtype)
    unit, lipschitz = torch.finfo(dtype).eps / 2, lipschitz_bound(module, shape)
    absolute = math.sqrt(math.prod(shape)) * 2 * torch.finfo(dtype).tiny * (1 + lipschitz)
    # A subtraction and a division, each of relative error u.
    error = Line(lipschitz * 2 * unit * (1 + 2 * unit), absolute)
    size = Line(lipschitz, 0.0) + error
    mean = float(torch.linalg.vector_norm(module.mean.double().expand(shape)))
    return Rounding(error, size, size.highest(Line(1.0, mean)), module.mean.double())


@_follow.register
def _(module: Residual, shape: Shape, before: Rounding, dtype: torch.dtype) -> Rounding:
    kept, added = (_follow(part, shape, before, dtype) for part in (module.shortcut, module.branch))
    unit = torch.finfo(dtype).eps / 2
    size = kept.size + added.size
    error = kept.error + added.error + size * unit
    return Rounding(error, size * (1 + unit), kept.peak.highest(added.peak).highest(size * 2), kept.centre)


@_follow.register
def _(module: Concat, shape: Shape, before: Rounding, dtype: torch.dtype) -> Rounding:
    parts = [_follow(branch, shape, before, dtype) for branch in module.branches]
    error, size = (_stacked([getattr(part, name) for part in parts]) for name in ("error", "size"))
    return Rounding(error, size, functools.reduce(Line.highest, [part.peak for part in parts]), parts[0].centre)


def _stacked(lines: list[Line]) -> Line:
    """Above the root of the sum of squares (Minkowski)."""
    return Line(math.hypot(*(line.slope for line in lines)), math.hypot(*(line.offset for line in lines)))


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
        return _inner_products(module, gain, module.weight.shape[1], module.weight.shape[0], shape, precision)


@rounding_step.register(BlockedLinear)
def _(module: BlockedLinear, shape: Shape, precision: torch.finfo) -> Step:
    gain = nonnegative_norm_bound(module.weight.detach().double().cpu().abs())
    terms, outputs = module.in_features, module.out_features
    additions = module.block + terms // module.block
    return _inner_products(module, gain, terms, outputs, shape, precision, min(terms, additions))


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


@rounding_step.register(_BatchNorm)
def _(module: _BatchNorm, shape: Shape, precision: torch.finfo) -> Step:
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
@rounding_step.register(ConstrainedConv2d)
@rounding_step.register(nn.Conv1d)
@rounding_step.register(nn.Conv2d)
@rounding_step.register(nn.Conv3d)
def _(module: Any, shape: Shape, precision: torch.finfo) -> Step:
    weight = module.weight
    gain = conv_gain(weight, geometry(module, shape))
    return _inner_products(module, gain, weight[0].numel(), weight.shape[0], shape, precision)


def _inner_products(
    module: Any, gain: float, terms: int, outputs: int, shape: Shape, precision: torch.finfo, depth: int | None = None
) -> Step:
    """``W x + b`` with ``terms`` products in each entry; subnormal numbers may be flushed to 0, weights among them.

    ``depth`` is how many roundings a product goes through at most, where that is less than in any order.
    """
    entries = math.prod(output_shape(module, shape))
    zero = bias_norm(module, entries // outputs)
    gamma = _gamma((depth or terms) + 2, precision)
    lost = 2 * (terms + 1) * math.sqrt(entries) * precision.tiny
    return Step(zero, gamma * gain + lost, gamma * zero + lost, gain)


def _gamma(count: int, precision: torch.finfo) -> float:
    unit = precision.eps / 2
    return count * unit / (1 - count * unit) if count * unit < 0.5 else math.inf
