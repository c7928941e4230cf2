"""Any other module that works example by example: the transposed Jacobian of each, by ``torch.func``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vjp, vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from lipnet.per_example.effective import Source, call_with
from lipnet.per_example.unit import Call, Unit, computed_in


class GenericUnit(Unit):
    """A module that is called once more, with each example alone. It has all parameters of the modules within it.

    Args:
        sources: the effective parameters by their names within the module, which are the slots.
        others: as for ``Unit``.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        slots: Mapping[str, str],
        values: Mapping[str, Tensor],
        strategy: str,
        sources: Mapping[str, Source],
    ) -> None:
        super().__init__(module, name, slots, values, strategy)
        self.sources = sources

    def gradients(self, call: Call, examples: slice) -> dict[str, Tensor]:
        tensors, rebuild = _split(call)

        def of_one(example: list[Tensor], gradients: list[Tensor]) -> dict[str, Tensor]:
            arguments, keywords = rebuild([tensor[None] for tensor in example])
            return self._product(call, arguments, keywords, [gradient[None] for gradient in gradients])

        return self._run(
            vmap(of_one), [tensor[examples] for tensor in tensors], [part[examples] for part in _gradients(call)]
        )

    def weighted_sums(self, call: Call, factors: Tensor) -> dict[str, Tensor]:
        weighted = [part * factors.to(part).view(-1, *[1] * (part.dim() - 1)) for part in _gradients(call)]
        return self._run(self._product, call, call.arguments, call.keywords, weighted)

    def _product(
        self, call: Call, arguments: tuple, keywords: Mapping[str, Any], gradients: list[Tensor]
    ) -> dict[str, Tensor]:
        learned = {slot: self.values[name] for slot, name in self.slots.items()}
        own = {slot: source for slot, source in self.sources.items() if slot in learned}

        def outputs(values: dict[str, Tensor]) -> list[Tensor]:
            found = tree_flatten(call_with(self.module, own, values, arguments, keywords))[0]
            return [part for part in found if isinstance(part, Tensor) and part.is_floating_point()]

        pull = vjp(outputs, learned)[1]
        found: dict[str, Tensor] = pull(gradients)[0]
        return found

    def _run(self, function: Any, *arguments: Any) -> dict[str, Tensor]:
        try:
            with torch.enable_grad():
                found: dict[str, Tensor] = function(*arguments)
        except RuntimeError as error:
            raise RuntimeError(
                f"{self} cannot be called with one example at a time by torch.func; it may be random, change its "
                f"buffers, or have functions of its own for its backward pass: {error}"
            ) from error
        return {slot: gradient.detach().to(computed_in(gradient)) for slot, gradient in found.items()}


def _gradients(call: Call) -> list[Tensor]:
    """Of each output; zeros of those that the loss does not depend on."""
    like = next(part for part in call.gradients if part is not None)
    pairs = zip(call.gradients, call.outputs, strict=True)
    return [like.new_zeros(shape, dtype=dtype) if part is None else part for part, (shape, dtype) in pairs]


def _split(call: Call) -> tuple[list[Tensor], Any]:
    """The tensors that a call was given, and what makes arguments and keywords of others in their place."""
    leaves, structure = tree_flatten((call.arguments, dict(call.keywords)))
    places = [place for place, part in enumerate(leaves) if isinstance(part, Tensor)]

    def rebuild(tensors: list[Tensor]) -> Any:
        parts = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            parts[place] = tensor
        return tree_unflatten(parts, structure)

    return [leaves[place] for place in places], rebuild
