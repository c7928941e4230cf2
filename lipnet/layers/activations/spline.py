"""Learned linear splines with slopes of at most 1 (Aziznejad et al. 2020, arXiv 2001.06263).

``PlainSpline`` is the function in torch alone, whose source an export carries along; ``FixedSpline`` also checks its
inputs and is faster, and ``LinearSpline`` learns it. All three are a value at the first knot and from there on the
integral of the slopes, so that no rounding of a value makes the function steeper than its largest slope.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lipnet.layers.sizes import whole_number
from lipnet.layers.tracing import runs_eagerly, shape_is_known


class PlainSpline(nn.Module):
    """Linear splines with fixed slopes on a uniform grid from ``-range`` to ``range``, whose end slopes go on outside.

    Args:
        splines: one for each channel of axis 1; a single one is for all numbers.
        knots: of the grid, whose ``knots - 1`` pieces have a slope each; ``starts`` are the values at the first knot.
    """

    slopes: Tensor
    starts: Tensor

    def __init__(self, splines: int, knots: int, range: float) -> None:
        super().__init__()
        self.splines, self.knots, self.range = splines, knots, range
        self.register_buffer("slopes", torch.zeros(splines, knots - 1))
        self.register_buffer("starts", torch.zeros(splines))

    def forward(self, inputs: Tensor) -> Tensor:
        slopes, intercepts = self.tables(self.slopes, self.starts, self.range, inputs.dtype)
        return self.at(inputs, slopes, intercepts, self.range, self.splines, self.knots)

    @staticmethod
    def tables(slopes: Tensor, starts: Tensor, range: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Slope and intercept of each piece, in float64 until each is rounded once."""
        pieces = slopes.shape[1]
        number = torch.arange(pieces, dtype=torch.float64, device=slopes.device)
        earlier, own = (number[:, None] < number).double(), (number[:, None] == number).double()
        rises = range * (2 / pieces * earlier + own * (1 - 2 * number / pieces))
        intercepts = starts.double()[:, None] + slopes.double() @ rises
        return slopes.to(dtype), intercepts.to(dtype)

    @staticmethod
    def at(
        inputs: Tensor, slopes: Tensor, intercepts: Tensor, range: float | Tensor, splines: int, knots: int
    ) -> Tensor:  # fmt: skip
        """``intercept + slope x`` of the piece where each number is."""
        pieces, middle = knots - 1, (knots - 1) // 2
        scaled = inputs * (pieces / (2 * range))
        scaled = (scaled + 0.5 if pieces % 2 else scaled).floor().clamp(-middle, pieces - 1 - middle)
        # The middle is added as a whole number: a knot at 0 is exactly there.
        places = scaled.masked_fill(scaled.isnan(), 0.0).long() + middle
        if splines > 1:
            first = torch.arange(0, splines * pieces, pieces, device=inputs.device)
            places = (places.transpose(1, -1) + first).transpose(1, -1)
        slope, intercept = (table.flatten().index_select(0, places.flatten()) for table in (slopes, intercepts))
        return intercept.view_as(inputs) + slope.view_as(inputs) * inputs


_tables, _at = PlainSpline.tables, PlainSpline.at


class FixedSpline(PlainSpline):
    """``PlainSpline`` with a check of its inputs, and faster."""

    exported_as: ClassVar[type[nn.Module]] = PlainSpline

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)``; of an image without a batch axis, axis 1 holds the rows."""
        return _evaluate(inputs, self.slopes, self.starts, self.range, self.splines, self.knots)

    def linear_regions(self) -> Tensor:
        """How many pieces each spline has, ``(splines,)``; adjacent ones of one slope, but for rounding, are one."""
        return 1 + (self.slopes.diff(dim=1).abs() > _SLACK).sum(1)

    def bv2(self) -> Tensor:
        """The norm ``TV2 + |f(0)| + |f(1)|`` of each spline f, float64 ``(splines,)``; TV2 sums changes of slope."""
        return _tv2(self.slopes.double()) + _at_ends(self.slopes, self.starts, self.range)

    def extra_repr(self) -> str:
        regions = "" if self.slopes.is_meta else f", {_mean_regions(self)} linear regions"
        return f"{self.splines}, knots={self.knots}, range={self.range:g}{regions}"


class LinearSpline(nn.Module):
    """Linear splines, learned by their values at the knots of a uniform grid; outside of it the end slopes go on.

    Slopes between the knots are clipped to [-1, 1] and the mean over the knots is kept: an idempotent projection,
    differentiable almost everywhere, which makes the layer 1-Lipschitz. In training with gradients the values
    themselves are projected first. A slope that an update took beyond ±1 is then at ±1, where gradients pass the clip;
    from beyond, nothing but the change of its neighbours would bring it back.

    Args:
        channels: of axis 1, each with a spline of its own.
        knots: of the grid, at least 3; of an odd number one is at 0.
        range: the grid is from ``-range`` to ``range``.
        initial: ``identity``, ``abs``, ``relu``, or ``pairs``: ``abs`` in the first half of the channels and
            ``identity`` in the others, which is MaxMin in a rotated basis.
        shared: one spline for all channels.
        constrained: whether slopes are clipped; if not, the layer is as steep as its steepest slope.
        tv2: weight of ``Σ |change of slope|`` in the loss.
        bv2: weight of ``Σ |change of slope| + |f(0)| + |f(1)|``, which bounds the slopes too.
        steep: weight of ``Σ (1 - slope²)`` in the loss, for slopes that keep the norm of gradients.
        rate: what multiplies the learning rate for the slopes. Adam moves every number as far, and slopes, which are at
            most 1, are learned worse where they are pushed to and fro as far as weights.
    """

    def __init__(
        self,
        channels: int,
        knots: int = 17,
        range: float = 1.0,
        initial: str = "pairs",
        shared: bool = False,
        constrained: bool = True,
        tv2: float = 0.0,
        bv2: float = 0.0,
        steep: float = 0.0,
        rate: float = 0.05,
    ) -> None:
        super().__init__()
        self.channels = whole_number(channels, "channels", type(self).__name__)
        self.knots, self.range, self.initial, self.shared = knots, range, initial, shared
        self.constrained, self.tv2, self.bv2, self.steep = constrained, tv2, bv2, steep
        self.rate = rate
        self._check_arguments()
        self.values = nn.Parameter(torch.empty(1 if shared else self.channels, knots))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Back to the initial functions."""
        half = len(self.values) // 2
        grid = torch.linspace(-self.range, self.range, self.knots, dtype=torch.float64).to(self.values)
        self.values.copy_(_INITIAL["identity" if self.initial == "pairs" else self.initial](grid))
        if self.initial == "pairs":
            self.values[:half] = grid.abs()

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)``; of an image without a batch axis, axis 1 holds the rows."""
        if self._learns(inputs):
            self.project()
        return _evaluate(inputs, *self.effective(), self.range, 1 if self.shared else self.channels, self.knots)

    def effective(self) -> tuple[Tensor, Tensor]:
        """The slopes of the function that the layer computes, and its values at the first knot."""
        slopes = self._raw_slopes()
        if self.constrained:
            slopes = _clipped(slopes)
        slopes = slopes.to(self.values.dtype)
        step, pieces = self._step(), self.knots - 1
        # The mean over the knots of f minus f at the first one: a slope is in the rise of all knots behind it.
        later = torch.arange(pieces, 0, -1, dtype=torch.float64, device=slopes.device) / self.knots
        starts = self.values.double().mean(1) - step * (slopes.double() @ later)
        return slopes, starts.to(self.values.dtype)

    @torch.no_grad()
    def project(self) -> None:
        """Replaces the values by those of the nearest function of the same mean; those of 1-Lipschitz splines stay."""
        if not self.constrained:
            return
        beyond = (self._raw_slopes().abs() > 1 + _SLACK).any(1, keepdim=True)
        if torch.compiler.is_compiling() or bool(beyond.any()):
            slopes, starts = self.effective()
            rises = torch.nn.functional.pad(slopes.double().cumsum(1), (1, 0)) * self._step()
            self.values.copy_(torch.where(beyond, starts.double()[:, None] + rises, self.values))

    @torch.no_grad()
    def fixed(self, threshold: float = 0.0) -> FixedSpline:
        """The layer as it is now, with fixed slopes.

        Args:
            threshold: adjacent pieces whose slopes differ by less become one, from where they begin to where they end.
        """
        slopes, starts = self.effective()
        fixed = FixedSpline(len(slopes), self.knots, self.range).to(slopes)
        fixed.slopes.copy_(_merged(slopes, threshold))
        fixed.starts.copy_(starts)
        return fixed.train(self.training)

    def regularizer(self) -> Tensor:
        """What is added to the loss."""
        if not self.is_regularized():
            return self.values.new_zeros(())
        slopes, starts = self.effective()
        penalty = (self.tv2 + self.bv2) * _tv2(slopes).sum() + self.steep * (1 - slopes.square()).sum()
        if self.bv2:
            penalty = penalty + self.bv2 * _at_ends(slopes, starts, self.range).sum().to(penalty.dtype)
        return penalty

    def is_regularized(self) -> bool:
        """Whether any penalty has a weight."""
        return bool(self.tv2 or self.bv2 or self.steep)

    @property
    def rate_factor(self) -> float:
        """Of the values, which moves the slopes, their differences over the distance of two knots, at the rate."""
        return self.rate * self._step()

    def extra_repr(self) -> str:
        kind = "shared" if self.shared else f"{self.channels}"
        free = "" if self.constrained else ", constrained=False"
        regions = "" if self.values.is_meta else f", {_mean_regions(self.fixed())} linear regions"
        return f"{kind}, knots={self.knots}, range={self.range:g}{free}{regions}"

    def _step(self) -> float:
        return 2 * self.range / (self.knots - 1)

    def _raw_slopes(self) -> Tensor:
        """Of the values as they are, float64."""
        return self.values.double().diff(dim=1) / self._step()

    def _learns(self, inputs: Tensor) -> bool:
        """Whether this is a training step, in which the values may change."""
        if not (self.training and torch.is_grad_enabled() and self.values.requires_grad and self.values.is_leaf):
            return False
        if torch.compiler.is_compiling():
            return not torch.compiler.is_exporting()
        return runs_eagerly(inputs) and not self.values.is_meta

    def _check_arguments(self) -> None:
        name = type(self).__name__
        if whole_number(self.knots, "knots", name) < 3:
            raise ValueError(f"{name} needs knots >= 3, got {self.knots}")
        if not 0 < self.range < math.inf:
            raise ValueError(f"{name} needs a finite range > 0, got {self.range}")
        if self.initial not in (*_INITIAL, "pairs"):
            raise ValueError(f"{name} needs initial to be one of {', '.join(_INITIAL)}, pairs, got {self.initial!r}")
        if self.shared and self.initial == "pairs":
            raise ValueError(f"{name} has one spline if shared=True, and initial='pairs' needs one for each channel")
        if not (self.tv2 >= 0 and self.bv2 >= 0 and self.steep >= 0):
            given = f"{self.tv2}, {self.bv2} and {self.steep}"
            raise ValueError(f"{name} needs weights tv2, bv2 and steep >= 0, got {given}")
        if not 0 <= self.rate < math.inf:
            raise ValueError(f"{name} needs a finite rate >= 0, got {self.rate}")
        if self.steep and not self.constrained:
            raise ValueError(f"{name} needs steep=0 if constrained=False: the penalty has no minimum for free slopes")


_INITIAL: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda grid: grid,
    "abs": torch.abs,
    "relu": torch.relu,
}


class ThresholdedSpline(LinearSpline):
    """``LinearSpline`` that is deployed with fewer pieces.

    Args:
        threshold: adjacent pieces whose slopes differ by less become one, through the values at its two ends, which
            are kept; so are the bounds of slopes.
    """

    def __init__(self, channels: int, threshold: float, **options: Any) -> None:
        super().__init__(channels, **options)
        if not threshold >= 0:
            raise ValueError(f"ThresholdedSpline needs threshold >= 0, got {threshold}")
        self.threshold = threshold

    def hardened(self) -> FixedSpline:
        """The splines of fewer pieces."""
        return self.fixed(self.threshold)


def spline(channels: int, threshold: float = 0.0, **options: Any) -> LinearSpline:
    """``LinearSpline``, or with a threshold ``ThresholdedSpline``."""
    return ThresholdedSpline(channels, threshold, **options) if threshold else LinearSpline(channels, **options)


# Raw slopes beyond ±1 by no more than this are slopes of ±1 whose values were rounded: they are learned on.
_SLACK = 2.0**-10


def _clipped(slopes: Tensor) -> Tensor:
    """Exactly in [-1, 1]; gradients pass up to the slack beyond, and derivatives of any order are those of a clip."""
    near = slopes.clamp(-1 - _SLACK, 1 + _SLACK)
    return near - (near - near.clamp(-1, 1)).detach()  # both differences are exact


def _merged(slopes: Tensor, threshold: float) -> Tensor:
    """The slopes with the mean of each run whose changes are all below the threshold, no larger than the largest."""
    breaks = slopes.diff(dim=1).abs() >= threshold
    run = torch.nn.functional.pad(breaks.long().cumsum(1), (1, 0))
    exact = slopes.double()
    sums = torch.zeros_like(exact).scatter_add(1, run, exact)
    sizes = torch.zeros_like(exact).scatter_add(1, run, torch.ones_like(exact))
    means = (sums / sizes).gather(1, run)
    largest = exact.abs().amax(1, keepdim=True)
    return torch.minimum(torch.maximum(means, -largest), largest).to(slopes.dtype)


def _tv2(slopes: Tensor) -> Tensor:
    """The sum of the changes of slope of each spline."""
    return slopes.diff(dim=1).abs().sum(1)


def _at_ends(slopes: Tensor, starts: Tensor, range: float) -> Tensor:
    """``|f(0)| + |f(1)|`` of each spline, float64."""
    splines, pieces = slopes.shape
    slopes, intercepts = _tables(slopes, starts, range, torch.float64)
    ends = torch.tensor([[0.0], [1.0]], dtype=torch.float64, device=slopes.device).expand(-1, splines)
    return _at(ends, slopes, intercepts, range, splines, pieces + 1).abs().sum(0)


def _mean_regions(layer: FixedSpline) -> str:
    return f"{float(layer.linear_regions().double().mean()):.3g}"


def _evaluate(inputs: Tensor, slopes: Tensor, starts: Tensor, range: float, splines: int, knots: int) -> Tensor:
    if shape_is_known(inputs) and splines > 1 and (inputs.dim() < 2 or inputs.shape[1] != splines):
        raise ValueError(f"axis 1 of {tuple(inputs.shape)} does not hold the {splines} channels of the splines")
    slopes, intercepts = _tables(slopes, starts, range, inputs.dtype)
    fast = runs_eagerly(inputs) and inputs.device.type == "cpu" and inputs.dtype in (torch.float32, torch.float64)
    if not fast or torch._C._functorch.is_legacy_batchedtensor(inputs):
        return _at(inputs, slopes, intercepts, range, splines, knots)
    if torch.is_grad_enabled() and (inputs.requires_grad or slopes.requires_grad):
        outputs: Tensor = _Lookup.apply(inputs, slopes, intercepts, range)
        return outputs
    return _look_up(inputs, slopes, intercepts, range)[0]


def _channels_last(inputs: Tensor) -> bool:
    return not inputs.is_contiguous() and inputs.is_contiguous(memory_format=torch.channels_last)


def _flat(tensor: Tensor, channels_last: bool) -> Tensor:
    return (tensor.permute(0, 2, 3, 1) if channels_last else tensor).reshape(-1)


def _shaped(flat: Tensor, like: Tensor, channels_last: bool) -> Tensor:
    if not channels_last:
        return flat.view(like.shape)
    batch, channels, height, width = like.shape
    return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _parts(numbers: int, example: int) -> Iterator[slice]:
    """Whole examples, as many as a processor's cache holds: all passes over them take half the time."""
    if numbers:
        length = max(1, _CACHED // example) * example
        for start in range(0, numbers, length):
            yield slice(start, min(start + length, numbers))


def _look_up(inputs: Tensor, slopes: Tensor, intercepts: Tensor, range: float) -> tuple[Tensor, Tensor]:
    """The outputs, and the places in the flattened tables as ``PlainSpline.at`` finds them, in the order of memory."""
    (splines, pieces), last = slopes.shape, _channels_last(inputs)
    middle, flat = pieces // 2, _flat(inputs, last)
    outputs, places = torch.empty_like(flat), torch.empty(flat.shape, dtype=torch.int32)  # found three times as fast
    parts = list(_parts(len(flat), inputs[:1].numel() if splines > 1 else 1))
    first = _first_places(inputs, splines, pieces, last, parts) if splines > 1 else None
    for part in parts:
        numbers, place, output = flat[part], places[part], outputs[part]
        scaled = numbers * (pieces / (2 * range))
        scaled = scaled.add_(0.5) if pieces % 2 else scaled
        place.copy_(scaled.floor_().clamp_(-middle, pieces - 1 - middle).nan_to_num_(0.0))
        place.add_(middle if first is None else first[: len(place)])
        torch.index_select(slopes.view(-1), 0, place, out=scaled)
        torch.index_select(intercepts.view(-1), 0, place, out=output)
        output.addcmul_(scaled, numbers)
    return _shaped(outputs, inputs, last), places


def _first_places(inputs: Tensor, splines: int, pieces: int, last: bool, parts: list[slice]) -> Tensor:
    """The place of the middle piece of each number's spline, for a part's examples."""
    if not parts:
        return torch.empty(0, dtype=torch.int32)
    first = torch.arange(pieces // 2, splines * pieces, pieces, dtype=torch.int32)
    example = _flat(first.view(-1, *[1] * (inputs.dim() - 2)).expand(inputs.shape[1:])[None], last)
    return example.repeat(parts[0].stop // len(example))


class _Lookup(torch.autograd.Function):
    """``intercept + slope x`` of tables; their gradients are sums over all numbers of a piece."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, slopes: Tensor, intercepts: Tensor, range: float) -> Tensor:
        outputs, places = _look_up(inputs, slopes, intercepts, range)
        ctx.save_for_backward(inputs, slopes, places)
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, slopes, places = ctx.saved_tensors
        last = _channels_last(inputs)
        flat, numbers, table = _flat(gradient, last), _flat(inputs, last), slopes.view(-1)
        if torch.is_grad_enabled() or torch._C._functorch.is_legacy_batchedtensor(gradient):
            # differentiable once more, or batched: of torch's own operations
            zeros = torch.zeros_like(table)
            of_inputs = flat * table.index_select(0, places)
            of_slopes, of_intercepts = (zeros.index_add(0, places, part) for part in (flat * numbers, flat))
        else:
            of_inputs, of_slopes, of_intercepts = _pull_back(flat, numbers, table, places, ctx.needs_input_grad[1])
        return (
            _shaped(of_inputs, inputs, last), of_slopes.view_as(slopes), of_intercepts.view_as(slopes), None,
        )  # fmt: skip


def _pull_back(
    gradient: Tensor, numbers: Tensor, slopes: Tensor, places: Tensor, learns: bool
) -> tuple[Tensor, Tensor, Tensor]:
    of_inputs = torch.empty_like(gradient)
    of_slopes, of_intercepts = torch.zeros_like(slopes), torch.zeros_like(slopes)
    for part in _parts(len(numbers), 1):
        place, pulled, output = places[part], gradient[part], of_inputs[part]
        torch.index_select(slopes, 0, place, out=output)
        output.mul_(pulled)
        if learns:
            of_slopes += torch.bincount(place, pulled * numbers[part], len(slopes))
            of_intercepts += torch.bincount(place, pulled, len(slopes))
    return of_inputs, of_slopes, of_intercepts


_CACHED = 2**16  # numbers
