"""Networks that are no chain: modules whose inputs are sums or concatenations of what earlier ones gave."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipnet.layers.tracing import shape_is_known

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One value of a graph, made of earlier ones.

    Attributes:
        name: as in the file that it was read from.
        sources: the numbers of the values that it is made of; 0 is the graph's input.
        module: what is called; ``None``: the sources are added, or joined along ``axis``.
        axis: of one example, without the batch.
        shape: of the value, without the batch.
    """

    name: str
    sources: tuple[int, ...]
    module: nn.Module | None
    shape: Shape
    axis: int | None = None


class Graph(nn.Module):
    """The last of its nodes, computed one after the other.

    Its bound adds what is added, and adds squares of what is joined.
    """

    def __init__(self, nodes: Sequence[Node], input_shape: Shape) -> None:
        super().__init__()
        self.nodes, self.shapes = tuple(nodes), (tuple(input_shape), *(node.shape for node in nodes))
        modules = {str(number): node.module for number, node in enumerate(nodes, 1) if node.module is not None}
        self.calls = nn.ModuleDict(modules)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, *input_shape) -> (batch, *shape of the last node)``."""
        return self.evaluate(inputs, lambda number, module, given: module(given))

    def evaluate(
        self,
        inputs: Tensor,
        call: Callable[[int, nn.Module, Tensor], Tensor],
        note: Callable[[Tensor], object] = lambda total: None,
    ) -> Tensor:
        """The same, with every module called by a function of the number of its node, the module and its input.

        Args:
            note: is given every result of an addition.
        """
        if shape_is_known(inputs) and tuple(inputs.shape[1:]) != self.shapes[0]:
            raise ValueError(f"this graph takes inputs (batch, *{self.shapes[0]}), got {tuple(inputs.shape)}")
        values = [inputs]
        for number, node in enumerate(self.nodes, 1):
            given = [values[source] for source in node.sources]
            if node.module is not None:
                module = self.calls[str(number)]
                in_place = any(getattr(part, "inplace", False) for part in module.modules())
                values.append(call(number, module, given[0].clone() if in_place else given[0]))
            elif node.axis is None:
                total = given[0]
                for other in given[1:]:
                    if shape_is_known(total) and total.shape != other.shape:
                        shapes = f"{tuple(total.shape)} and {tuple(other.shape)}"
                        raise ValueError(f"{node.name}: values of one shape are added, got {shapes}")
                    total = total + other
                    note(total)
                values.append(total)
            else:
                values.append(torch.cat(given, dim=node.axis + 1))
        return values[-1]


class Rearranged(nn.Module):
    """Entries of an example moved, repeated, left out or set to 0, and the larger or the smaller one of two.

    Args:
        codes: of every entry of the output, in its shape: 0 for a zero, 1 + i for entry i of the input, and then two
            for each pair, its larger and its smaller entry.
        pairs: ``(pairs, 2)`` entries of the input.
    """

    codes: Tensor
    pairs: Tensor

    def __init__(self, codes: Tensor, pairs: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes.long())
        self.register_buffer("pairs", pairs.long().view(-1, 2))

    def forward(self, inputs: Tensor) -> Tensor:
        flat = inputs.flatten(1)
        first, second = (flat[:, self.pairs[:, side]] for side in (0, 1))
        both = torch.stack((torch.maximum(first, second), torch.minimum(first, second)), dim=2).flatten(1)
        bank = torch.cat((torch.zeros_like(flat[:, :1]), flat, both), dim=1)
        return bank[:, self.codes.flatten()].unflatten(1, tuple(self.codes.shape))

    def extra_repr(self) -> str:
        return f"{tuple(self.codes.shape)}, pairs={len(self.pairs)}"


class Sorted(nn.Module):
    """The entries along an axis of the batch, sorted: a permutation."""

    def __init__(self, dim: int, descending: bool) -> None:
        super().__init__()
        self.dim, self.descending = dim, descending

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.sort(inputs, dim=self.dim, descending=self.descending).values


class Affine(nn.Module):
    """``scale x + shift``, entry by entry.

    Args:
        scale, shift: shapes that broadcast to that of an example.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self.scale + self.shift
