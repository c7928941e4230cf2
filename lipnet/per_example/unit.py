"""What the kinds of units share: a module, one call of it, and the gradients of each example that follow.

A unit is a module with parameters whose gradients follow, example by example, from its input and from the gradient of
its output.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from lipnet.per_example.products import squares_of

STRATEGIES = ("auto", "crb", "unfold", "ghost")  # of a unit: how it computes

_AT_ONCE = 2**20  # numbers of gradients, and of what they are made from, at a time: a processor's cache holds them


@dataclass
class Call:
    """One call of a unit in a forward pass.

    Attributes:
        arguments, keywords: what the module was called with, without history.
        edges: where the gradient of each output arrives in the backward pass, of those that have any.
        outputs: of each output a shape and a type.
        versions: of all tensors that the gradients are computed from, which must not be changed meanwhile.
        behind: the nodes of autograd that the arguments come from.
        kept: the gradients of all examples by slot, where they were formed and are small.
        gradients: of the outputs, once a backward pass was run; ``None`` of one that the loss does not depend on.
    """

    arguments: tuple
    keywords: Mapping[str, Any]
    edges: list[GradientEdge | None]
    outputs: list[tuple[torch.Size, torch.dtype]]
    versions: list[tuple[Tensor, int]]
    behind: list[Any]
    gradients: list[Tensor | None] = field(default_factory=list)
    kept: dict[str, Tensor] | None = None

    def reached(self) -> bool:
        """Whether the loss depends on any output."""
        return any(gradient is not None for gradient in self.gradients)


def computed_in(parameter: Tensor) -> torch.dtype:
    """What norms and sums are computed in: no less than float32, whose range squares need."""
    return torch.promote_types(parameter.dtype, torch.float32)


class Unit:
    """A module of a network, and how its gradients are computed.

    Args:
        module: whose gradients they are.
        name: in the network.
        slots: attribute of the module -> name of the effective parameter, of those that learn.
        values: the effective parameters by name.
        strategy: one of ``STRATEGIES``.
    """

    def __init__(
        self, module: nn.Module, name: str, slots: Mapping[str, str], values: Mapping[str, Tensor], strategy: str
    ) -> None:
        self.module, self.name, self.slots, self.values, self.strategy = module, name, slots, values, strategy
        self.calls: list[Call] = []

    def __str__(self) -> str:
        return f"{self.name or 'the network'} ({type(self.module).__name__})"

    def check(self, arguments: tuple, keywords: Mapping[str, Any]) -> None:
        """Refuses inputs whose examples do not lie along axis 0.

        Raises:
            ValueError: with the unit's name.
        """

    def chunk(self, call: Call, forms: bool) -> int:
        """How many examples to take at once for norms, so that what is formed of them needs little memory."""
        formed = sum(self.values[name].numel() for name in self.slots.values()) if forms else 0
        return max(1, _AT_ONCE // max(1, formed + self.made_of(call)))

    def together(self, call: Call) -> int:
        """The same where all gradients are kept: what they are made from is not."""
        return max(1, _AT_ONCE // max(1, self.made_of(call)))

    def explicit(self, call: Call) -> bool:
        """Whether norms are those of gradients that were formed."""
        return True

    def is_small(self, call: Call, examples: int) -> bool:
        """Whether the gradients of all examples take no more memory than what the call was given and returned."""
        numbers = examples * sum(self.values[name].numel() for name in self.slots.values())
        inputs = sum(part.numel() for part in call.arguments if isinstance(part, Tensor))
        return numbers <= inputs + sum(shape.numel() for shape, _ in call.outputs)

    def made_of(self, call: Call) -> int:
        """Numbers in memory for one example beside its gradients."""
        return 0

    def gradients(self, call: Call, examples: slice) -> dict[str, Tensor]:
        """Each example's gradients, ``(b, ...)`` by slot."""
        raise NotImplementedError

    def squares(self, call: Call, examples: slice) -> dict[str, Tensor]:
        """The squared norms of the examples' gradients, ``(b,)`` by slot, by the cheapest way."""
        return {slot: squares_of(gradient) for slot, gradient in self.gradients(call, examples).items()}

    def weighted_sums(self, call: Call, factors: Tensor) -> dict[str, Tensor]:
        """The sum of all examples' gradients, each times its factor, by slot."""
        raise NotImplementedError

    def of_weight(self) -> Tensor | None:
        """The weight, if it learns."""
        return self.values[self.slots["weight"]] if "weight" in self.slots else None
