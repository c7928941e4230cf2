"""Classifiers in float32 that know when they may be wrong, and then evaluate the input again in float64."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipnet.certify.arithmetic import coarse_products
from lipnet.certify.bound import Shape, composition, lipschitz_bound, measured_once, output_shape
from lipnet.certify.certificate import holds_float32
from lipnet.certify.plain import to_plain
from lipnet.certify.radius import Examples, at_once
from lipnet.certify.rounding import Rounding, rounding_bound
from lipnet.certify.walk import named_parts, parts
from lipnet.layers.blocked import BlockedLinear

_UP = 1 + 1e-12  # more than the few roundings of each float64 number here, and of the network's sum of them


class Assured(nn.Module):
    """A float32 classifier whose prediction is, for every float32 input, that of its float64 evaluation.

    It answers in float32 where the two largest logits differ by more than float32 and float64 can be off at this very
    input, and evaluates the input again in float64 where they do not: a certificate of the float64 network is true of
    this one. ``assured`` (of lipnet.certify) makes it; it stays in evaluation mode and in its types.

    Args:
        network: its layers, float32.
        shape: of one input, without batch axis; what follows holds for no other.
        slopes: ``(layers,)``, float64: what each layer's rounding adds to the error of a difference of two logits, per
            norm of the layer's input; 0 where a layer does not round.
        offset: what is added to it whatever the input.
        largest: the norm of inputs above which numbers may overflow.
        narrow: how many layers of the first pass run in float32; those after them run in float64 already.
    """

    slopes: Tensor
    offset: Tensor
    largest: Tensor
    narrow: Tensor

    def __init__(
        self, network: nn.Sequential, shape: tuple[int, ...], slopes: Tensor, offset: Tensor, largest: Tensor,
        narrow: Tensor,
    ) -> None:  # fmt: skip
        super().__init__()
        self.shape = tuple(shape)
        self.network, self.exact = network, copy.deepcopy(network).double()
        constants = {"slopes": slopes, "offset": offset, "largest": largest, "narrow": narrow}
        for name, constant in constants.items():
            self.register_buffer(name, constant)
        self.rounds, self.switch = [slope != 0 for slope in slopes.tolist()], int(narrow)
        self.train(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Float64 logits of float32 ``(batch, *shape)``; their largest is right, the others are as they were computed.

        Raises:
            TypeError: the inputs, the network or torch's settings are of another precision.
            ValueError: the inputs are of another shape.
        """
        return self.answer(inputs)[0]

    def answer(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and which examples were evaluated again, ``(batch,)`` bool."""
        self._check(inputs)
        with (  # sums of products alone: no Winograd's or Fourier transforms, no TF32, no bf16
            torch.autocast(inputs.device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=False, allow_tf32=False),
            torch.backends.nnpack.flags(enabled=False),
        ):
            logits, again = self.first(inputs)
            rows = again.nonzero()[:, 0]
            if len(rows):
                logits = logits.index_copy(0, rows, self.exact(inputs[rows].double()))
        return logits, again

    def first(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The first pass alone: its logits, and where they do not settle the prediction. NaN never does."""
        values, allowance = inputs.clone(), self.offset  # a first layer may work in place
        layers = [*list(self.network)[: self.switch], *list(self.exact)[self.switch :]]
        for number, (layer, rounds) in enumerate(zip(layers, self.rounds, strict=True)):
            values = values.double() if number == self.switch else values
            if rounds:
                allowance = allowance + self.slopes[number] * self._norms(values)
            values = layer(values)
        logits = values.double()
        highest, second = logits.topk(2).values.unbind(1)
        return logits, ~((highest - second > allowance) & (self._norms(inputs) < self.largest))

    def train(self, mode: bool = True) -> "Assured":
        """Stays in evaluation mode: the constants are of nothing else."""
        return super().train(False)

    @staticmethod
    def _norms(values: Tensor) -> Tensor:
        return torch.linalg.vector_norm(values, dim=tuple(range(1, values.dim()))).double()

    def _check(self, inputs: Tensor) -> None:
        if inputs.dtype is not torch.float32 or self.slopes.dtype is not torch.float64:
            raise TypeError(
                f"an assured network takes float32 inputs, not {inputs.dtype}, and stays in the types in which it was "
                "made: float32, and float64 for the second pass"
            )
        if tuple(inputs.shape[1:]) != self.shape:
            raise ValueError(f"this network is assured for inputs (batch, *{self.shape}), not {tuple(inputs.shape)}")
        if coarse_products():
            raise TypeError(
                "float32 products may run in TF32 or bf16; set torch.set_float32_matmul_precision('highest')"
            )


def assured(network: nn.Module, input_shape: Shape, images: Tensor | None = None, at_most: float = 0.012) -> Assured:
    """A classifier that answers in float32 where that settles the prediction, and in float64 where it does not.

    For every float32 input its prediction is that of the network evaluated in float64, whatever the order of sums, so
    radii of ``certify(to_plain(network).double(), inputs, labels).radii(torch.float64)`` hold for it; the proof is in
    docs/certificates.md. The weights are copied as they are now.

    Args:
        network: in evaluation mode, of two outputs or more, with weights that float32 holds.
        input_shape: of one input, without batch axis.
        images: float32 examples, on the network's device. With them, as few of the last layers as it takes run in
            float64 at once, so that no larger part of these than ``at_most`` is evaluated again. Without, none do.
        at_most: of others it may be a little more: by 0.25 points, one standard error, with 2,000 images.

    Raises:
        TypeError: as ``lipschitz_bound`` and ``rounding_bound``; or the weights are not float32's.
        ValueError: there are no two outputs.

    >>> logits, evaluated_again = assured(model, (1, 28, 28)).answer(images)
    """
    plain, shape = to_plain(network, blocked=False).requires_grad_(False), tuple(input_shape)
    if not holds_float32(plain):
        raise TypeError("a float32 network has other weights than this one, which are not float32's; use .float()")
    plain = plain.float()
    layers = assured_layers(plain)
    with measured_once():
        found = Assured(layers, shape, **assured_constants(plain, shape))
        rounding = [number for number, rounds in enumerate(found.rounds) if rounds]
        while images is not None and rounding and evaluated_again(found, images) > at_most:
            found = Assured(layers, shape, **assured_constants(plain, shape, rounding.pop()))
    return found


@torch.no_grad()
def evaluated_again(network: Assured, images: Examples) -> float:
    """The part of the images that the first pass does not settle."""
    rows = torch.arange(len(images), device=images.device)
    again = [network.answer(images[batch])[1] for batch in rows.split(at_once(images.device, torch.float32))]
    return float(torch.cat(again).double().mean())


def assured_layers(network: nn.Module) -> nn.Sequential:
    """A plain network's layers, one after the other, with the long sums of dense layers in blocks.

    Sequences of sequences are unpacked; ``Residual``, ``Concat`` and whatever is no sequence is one layer.
    """
    if composition(network) is not nn.Sequential:
        return nn.Sequential(_in_blocks(network) if type(network) is nn.Linear else network)
    layers = nn.Sequential()
    for _, part in named_parts(network):
        layers.extend(assured_layers(part))
    return layers


def _in_blocks(layer: nn.Linear) -> nn.Module:
    blocked = BlockedLinear(layer.in_features, layer.out_features, layer.bias is not None, device=torch.device("meta"))
    blocked.weight, blocked.bias = layer.weight, layer.bias
    return blocked


@torch.no_grad()
def assured_constants(network: nn.Module, input_shape: Shape, narrow: int | None = None) -> dict[str, Tensor]:
    """The constants of an ``Assured`` network with the ``assured_layers`` of a plain one, all ``narrow`` by default.

    Where a layer's computed input x has been reached with an error e, its computed output has one of at most
    ``L e + a |x| + b``, with a and b of ``rounding_bound``: an error grows by the constants of the layers after it. A
    difference of two logits has the square root of 2 times the error of both.

    Raises:
        TypeError, ValueError: as ``assured``.
    """
    shape = tuple(input_shape)
    with measured_once():
        in_turn = assured_layers(network)  # what runs, and what a reader of an export finds
        whole = [rounding_bound(in_turn, shape, dtype) for dtype in (torch.float32, torch.float64)]
        if math.prod(output_shape(network, shape)) < 2:
            raise ValueError("only a network of two outputs or more has a prediction to be assured")
        if narrow is None:
            narrow = len(in_turn)
        layers = []
        for number, part in enumerate(parts(in_turn, shape)):
            dtype = torch.float32 if number < narrow else torch.float64
            layers.append(_measure(part.module, part.input_shape, dtype))
    slopes: list[float] = []
    offset, after = 0.0, math.sqrt(2) * _UP
    for layer in reversed(layers):
        slopes.insert(0, after * layer.slope)
        offset += after * layer.offset
        after = after * layer.lipschitz * _UP
    in_float64, root = whole[1].error, math.sqrt(2) * _UP
    slopes[0] += root * in_float64.slope
    offset += root * (float(in_float64.offset) + in_float64.slope * _centre_norm(whole[1], shape))
    for number, (slope, layer) in enumerate(zip(slopes, layers, strict=True)):
        factor, lost = _of_float32_norm(layer.entries)
        slopes[number] = slope * factor * _UP if slope else 0.0
        offset += slope * lost if slope else 0.0
    largest = min(_largest_norm(*pair, shape) for pair in zip(whole, (torch.float32, torch.float64), strict=True))
    largest = largest / _of_float32_norm(math.prod(shape))[0] / _UP
    found = {"slopes": slopes, "offset": offset * _UP, "largest": largest}
    constants = {name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()}
    return constants | {"narrow": torch.tensor(narrow)}


@dataclass(frozen=True)
class _Layer:
    """A layer of ``entries`` inputs: its constant, and its own error ``slope · |input| + offset``."""

    lipschitz: float
    slope: float
    offset: float
    entries: int


def _measure(layer: nn.Module, shape: Shape, dtype: torch.dtype) -> _Layer:
    rounding = rounding_bound(layer, shape, dtype)
    slope, offset = rounding.error.slope, float(rounding.error.offset)
    offset += slope * _centre_norm(rounding, shape) if slope else 0.0
    return _Layer(lipschitz_bound(layer, shape), slope, offset, math.prod(shape))


def _centre_norm(rounding: Rounding, shape: Shape) -> float:
    """How far the point from which ``rounding`` measures its inputs is from 0, rounded up."""
    centre = torch.zeros(shape, dtype=torch.float64) + torch.as_tensor(rounding.centre).cpu()
    return float(torch.linalg.vector_norm(centre)) * (1 + 1e-8)


def _of_float32_norm(entries: int) -> tuple[float, float]:
    """(factor, addend) that make a norm which float32 computed an upper bound; squares below 2⁻¹²⁶ may be lost."""
    unit = (entries + 4) * torch.finfo(torch.float32).eps
    return (1 + 2 * unit if unit < 0.25 else math.inf), math.sqrt(entries) * 2.0**-60


def _largest_norm(rounding: Rounding, dtype: torch.dtype, shape: Shape) -> float:
    """Below it, no number on the way overflows."""
    peak = rounding.peak
    room = torch.finfo(dtype).max / 4 - float(peak.offset)
    return room / peak.slope - _centre_norm(rounding, shape) if math.isfinite(peak.slope) else 0.0
