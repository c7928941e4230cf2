"""Graphs from elsewhere, put together of modules that have a Lipschitz rule.

What only moves entries is followed on their numbers: the operation itself is run on them, and says where each goes. So
every way to write a permutation, a padding or a pair's larger and smaller entry has the bound of what it does.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.bound import Shape
from lipnet.errors import UserError
from lipnet.layers.blocks.graph import Affine, Graph, Node, Rearranged, Sorted
from lipnet.layers.convolutions.padded import PaddedConv2d
from lipnet.randomness import stream


@dataclasses.dataclass(frozen=True)
class Value:
    """A value of the graph: entries of an earlier node.

    Attributes:
        origin: the number of that node, 0 for the input.
        codes: as ``Rearranged`` has them, in the shape of the value; float64, since they go through operations.
        pairs: the pairs among them.
        whole: whether these are the entries of the origin as they are.
    """

    origin: int
    codes: Tensor
    pairs: tuple[tuple[int, int], ...] = ()
    whole: bool = True

    @property
    def shape(self) -> Shape:
        return tuple(self.codes.shape)


class Refused(Exception):
    """Why a node has no bound."""


class Builder:
    """Puts a graph together, value by value.

    Args:
        shape: of one input.
        batch: how many examples operations are run on; at least two show whether one mixes them.
    """

    def __init__(self, shape: Shape, batch: int) -> None:
        self.shape, self.batch = shape, batch
        self.nodes: list[Node] = []
        self.input = self._whole(0, shape)

    def graph(self, name: str, last: Value) -> Graph:
        """The graph whose output is this value."""
        number = self.settled(name, last)
        if not self.nodes or number != len(self.nodes):
            self._add(Node(name, (number,), nn.Identity(), last.shape))
        return Graph(self.nodes, self.shape)

    def call(self, name: str, module: nn.Module, value: Value) -> Value:
        """A module of its input alone."""
        module = module.eval()
        source = self.settled(name, value)
        with torch.no_grad():
            tensors = [*module.parameters(), *module.buffers()]
            kind = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
            made = module(torch.zeros(2, *value.shape, dtype=kind))
        return self._add(Node(name, (source,), module, tuple(made.shape[1:])))

    def convolve(self, name: str, conv: nn.Conv2d, value: Value) -> Value:
        """A convolution; behind a padding that keeps the image's size, as one layer, which has the smaller bound."""
        for mode in ("circular", "zeros"):
            found = self._behind(conv, value, mode)
            if found is not None:
                return self.call(name, *found)
        return self.call(name, conv, value)

    def affine(self, name: str, value: Value, scale: Tensor, shift: Tensor) -> Value:
        """``scale x + shift``, of tensors with an axis for the batch or without."""
        parts = [self._of_one(name, tensor, value) for tensor in (scale, shift)]
        return self.call(name, Affine(*parts), value)

    def total(self, name: str, values: Sequence[Value]) -> Value:
        """A sum of values of one shape."""
        if len({value.shape for value in values}) > 1:
            raise Refused(f"it adds values of {' and '.join(str(value.shape) for value in values)}, broadcasting one")
        sources = tuple(self.settled(name, value) for value in values)
        return self._add(Node(name, sources, None, values[0].shape))

    def joined(self, name: str, values: Sequence[Value], axis: int) -> Value:
        """Values one after the other along an axis of the batch."""
        axis = axis % (len(values[0].shape) + 1)
        if axis == 0:
            raise Refused("it joins the examples of a batch")
        if len({value.origin for value in values}) == 1:
            return self.moved(name, values, lambda *parts: torch.cat(parts, dim=axis))[0]
        sources = tuple(self.settled(name, value) for value in values)
        shape = list(values[0].shape)
        shape[axis - 1] = sum(value.shape[axis - 1] for value in values)
        return self._add(Node(name, sources, None, tuple(shape), axis - 1))

    def extreme(self, name: str, first: Value, second: Value, larger: bool) -> Value:
        """The larger, or the smaller, of two values, entry by entry."""
        if first.shape != second.shape:
            raise Refused(f"it compares values of {first.shape} and {second.shape}, broadcasting one")
        plain = first.origin == second.origin and not first.pairs and not second.pairs
        if not plain or not bool((first.codes > 0).all() & (second.codes > 0).all()):
            shape = first.shape
            flat = [self.moved(name, [part], lambda x: x.flatten(1))[0] for part in (first, second)]
            sources = tuple(self.settled(name, part) for part in flat)
            entries = flat[0].codes.numel()
            both = self._add(Node(name, sources, None, (2 * entries,), 0))
            first = dataclasses.replace(both, codes=both.codes[:entries].view(shape), whole=False)
            second = dataclasses.replace(both, codes=both.codes[entries:].view(shape), whole=False)
        count = self._entries(first.origin)
        numbers: dict[tuple[int, int], int] = {}
        codes = []
        both_codes = zip(first.codes.flatten().tolist(), second.codes.flatten().tolist(), strict=True)
        for one, other in both_codes:
            pair = (int(min(one, other)) - 1, int(max(one, other)) - 1)
            if pair[0] == pair[1]:
                codes.append(pair[0] + 1)
                continue
            number = numbers.setdefault(pair, len(numbers))
            codes.append(1 + count + 2 * number + (not larger))
        kept = torch.tensor(codes, dtype=torch.float64).view(first.shape)
        return Value(first.origin, kept, tuple(numbers), whole=False)

    def extreme_along(self, name: str, value: Value, axis: int, larger: bool, kept: bool) -> Value:
        """The largest, or the smallest, of the entries along an axis of the batch.

        Args:
            kept: whether the axis stays, with one entry.
        """
        axis %= len(value.shape) + 1
        if axis == 0:
            raise Refused("it compares the examples of a batch")
        if value.shape[axis - 1] == 2:
            first, second = (self.moved(name, [value], lambda x, i=i: x.narrow(axis, i, 1))[0] for i in (0, 1))
            found = self.extreme(name, first, second, larger)
        else:
            in_order = self.call(name, Sorted(axis, larger), value)
            found = self.moved(name, [in_order], lambda x: x.narrow(axis, 0, 1))[0]
        return found if kept else self.moved(name, [found], lambda x: x.squeeze(axis))[0]

    def moved(self, name: str, values: Sequence[Value], operation: Callable[..., Any]) -> list[Value]:
        """What an operation makes that moves, repeats and leaves out entries; it is run on their numbers."""
        if len({value.origin for value in values}) > 1:
            values = [self._whole(self.settled(name, value), value.shape) for value in values]
            if len({value.origin for value in values}) > 1:
                raise Refused("it moves entries of several values")
        origin, (codes, pairs) = values[0].origin, self._in_one_table(values)
        large = 1 + self._entries(origin) + 2 * len(pairs)
        steps = torch.arange(self.batch, dtype=torch.float64) * large
        numbered = []
        for part in codes:
            step = steps.view(-1, *[1] * part.dim())
            numbered.append(torch.where(part > 0, part + step, 0.0))
        made = operation(*numbered)
        outputs = list(made) if isinstance(made, tuple | list) else [made]
        return [self._read(origin, pairs, output, steps, large) for output in outputs]

    def _read(
        self, origin: int, pairs: tuple[tuple[int, int], ...], output: Tensor, steps: Tensor, large: int
    ) -> Value:
        if output.dim() < 1 or len(output) != self.batch:
            raise Refused("it moves the axis of the batch")
        each = torch.where(output != 0, output - steps.view(-1, *[1] * (output.dim() - 1)), 0.0)
        if not torch.equal(each, each[:1].expand_as(each)):
            raise Refused("it mixes the examples of a batch")
        codes = each[0]
        if bool(((codes < 0) | (codes >= large) | (codes != codes.floor())).any()):
            raise Refused("it computes where it should only move entries")
        entries = torch.arange(1, 1 + self._entries(origin), dtype=torch.float64)
        whole = tuple(codes.shape) == self._shape(origin) and torch.equal(codes.flatten(), entries)
        return Value(origin, codes, () if whole else pairs, whole)

    def _in_one_table(self, values: Sequence[Value]) -> tuple[list[Tensor], tuple[tuple[int, int], ...]]:
        """The codes of several values of one origin, by one table of pairs."""
        first = 1 + self._entries(values[0].origin)
        numbers: dict[tuple[int, int], int] = {}
        codes = []
        for value in values:
            places = torch.tensor([numbers.setdefault(pair, len(numbers)) for pair in value.pairs] or [0])
            number = ((value.codes - first).clamp_min(0) // 2).long()
            renumbered = first + 2 * places[number].double() + (value.codes - first) % 2
            codes.append(torch.where(value.codes >= first, renumbered, value.codes))
        return codes, tuple(numbers)

    def settled(self, name: str, value: Value) -> int:
        """The number of a node whose entries are these."""
        if value.whole and value.shape == self._shape(value.origin):
            return value.origin
        module = Rearranged(value.codes, torch.tensor(value.pairs, dtype=torch.long).view(-1, 2))
        return self._add(Node(f"before {name}", (value.origin,), module, value.shape)).origin

    def _behind(self, conv: nn.Conv2d, value: Value, mode: str) -> tuple[PaddedConv2d, Value] | None:
        """The convolution with the padding before it, if a layer of lipnet's has it; and what is padded."""
        size, stride, dilation = conv.kernel_size[0], conv.stride[0], conv.dilation[0]
        square = len({*conv.kernel_size}) == len({*conv.stride}) == len({*conv.dilation}) == 1
        if not square or conv.padding != (0, 0) or len(value.shape) != 3:
            return None
        try:
            sizes = (value.shape[0], conv.out_channels, size, stride, dilation, conv.groups)
            padded = PaddedConv2d(*sizes, conv.bias is not None, mode)
        except (ValueError, RuntimeError):  # there is no such layer
            return None
        before, after = padded.padding
        height, width = value.shape[1:]
        codes = value.codes[:, before : height - after, before : width - after]
        if not codes.numel() or before + after == 0 or before > min(codes.shape[1:]):
            return None
        if not torch.equal(padded[0](codes[None])[0], value.codes):
            return None
        with torch.no_grad():
            padded = padded.to(conv.weight.dtype).copy_from(conv.weight, conv.bias)
        numbers = torch.arange(1, 1 + self._entries(value.origin), dtype=torch.float64)
        whole = tuple(codes.shape) == self._shape(value.origin) and torch.equal(codes.flatten(), numbers)
        return padded, Value(value.origin, codes, () if whole else value.pairs, whole)

    def _of_one(self, name: str, tensor: Tensor, value: Value) -> Tensor:
        """A constant for one example, without an axis for the batch."""
        if tensor.dim() == len(value.shape) + 1:
            if len(tensor) != 1:
                raise Refused("its constant differs between the examples of a batch")
            tensor = tensor[0]
        if torch.broadcast_shapes(tensor.shape, value.shape) != torch.Size(value.shape):
            raise Refused(f"its constant of {tuple(tensor.shape)} broadcasts a value of {value.shape}")
        return tensor

    def _add(self, node: Node) -> Value:
        self.nodes.append(node)
        return self._whole(len(self.nodes), node.shape)

    def _whole(self, origin: int, shape: Shape) -> Value:
        count = torch.Size(shape).numel()
        return Value(origin, torch.arange(1, 1 + count, dtype=torch.float64).view(shape))

    def _shape(self, origin: int) -> Shape:
        return self.nodes[origin - 1].shape if origin else self.shape

    def _entries(self, origin: int) -> int:
        return torch.Size(self._shape(origin)).numel()


def refusal(path: object, name: str, operation: str, reason: object) -> UserError:
    """The message for a node without a bound."""
    return UserError(f"{path}: node {name} ({operation}): {reason}.")


def linear_of(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """``x W^T + b``."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def conv_of(
    weight: Tensor, bias: Tensor | None, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
    groups: int,
) -> nn.Conv2d:  # fmt: skip
    """A convolution of these numbers."""
    if weight.dim() != 4:
        raise Refused(f"a convolution with a kernel of {weight.dim() - 2} axes; only images are read")
    out, channels, *size = weight.shape
    two: list[tuple[int, int]] = [tuple(list(part) * (2 // len(part))) for part in (stride, padding, dilation)]  # type: ignore[misc]
    layer = nn.Conv2d(
        channels * groups, out, (size[0], size[1]), two[0], two[1], two[2], groups, bias is not None, dtype=weight.dtype
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None and layer.bias is not None:
            layer.bias.copy_(bias)
    return layer


def norm_of(
    weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, eps: float, axes: int
) -> nn.Module:
    """A batch normalisation as it is evaluated."""
    kind = {1: nn.BatchNorm1d, 3: nn.BatchNorm2d}.get(axes, nn.BatchNorm3d)
    layer = kind(len(mean), eps, dtype=mean.dtype)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    with torch.no_grad():
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)
        layer.weight.copy_(torch.ones_like(mean) if weight is None else weight)
        layer.bias.copy_(torch.zeros_like(mean) if bias is None else bias)
    return layer


@torch.no_grad()
def compare(name: object, graph: Graph, original: Callable[[Tensor], Tensor]) -> None:
    """What was read computes what it was read of, at random inputs of either sign, near 0 and far from it.

    Raises:
        UserError: it does not, or the original cannot be run.
    """
    random = stream(0, "judged inputs")
    for count in (3, 1):  # of a program that takes one number of inputs alone, another fails
        shape = (count, *graph.shapes[0])
        drawn = [
            torch.rand(shape, generator=random),
            *(size * torch.randn(shape, generator=random) for size in (1, 30)),
        ]
        try:
            wanted = [original(inputs.clone()) for inputs in drawn]
        except Exception:  # of the other program, which may raise anything
            continue
        for inputs, expected in zip(drawn, wanted, strict=True):
            found = graph(inputs)
            scale = 1 + float(expected.abs().max())
            if expected.shape != found.shape or not bool(((found - expected).abs() <= 1e-3 * scale).all()):
                raise UserError(f"{name}: what was read of it computes something else; please report it.")
        return
    raise UserError(f"{name}: cannot be run, so that what was read of it cannot be compared.")
