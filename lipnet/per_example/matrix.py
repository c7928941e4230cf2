"""Units whose weight is a matrix that is applied at every position: fully connected layers, mixtures of channels."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lipnet.layers.learned_shuffle import LearnedShuffle
from lipnet.per_example.products import ghost_operations, ghost_squares, outer_operations, outer_products
from lipnet.per_example.unit import Call, Unit, computed_in


class MatrixUnit(Unit):
    """A unit with ``weight`` and perhaps ``bias``, whose weight's gradient is a sum of outer products."""

    def factors(self, inputs: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """What the products are made of: ``(b, groups, in, positions)`` and ``(b, groups, out, positions)``."""
        raise NotImplementedError

    def pair(self, call: Call, examples: slice) -> tuple[Tensor, Tensor]:
        """Inputs, and gradients of the outputs, in the type that is computed in."""
        dtype = computed_in(self.values[next(iter(self.slots.values()))])
        (gradient,), inputs = call.gradients, first_tensor(call)
        assert gradient is not None
        return inputs[examples].to(dtype), gradient[examples].to(dtype)

    def of_bias(self, gradients: Tensor) -> Tensor:
        """Each example's gradient of the bias, ``(b, out)``."""
        return gradients.flatten(2).sum(2) if gradients.dim() > 2 else gradients

    def sizes(self, call: Call) -> tuple[int, int, int, int]:
        """Groups, and inputs, outputs and positions of each."""
        raise NotImplementedError

    def explicit(self, call: Call) -> bool:
        if self.of_weight() is None or self.strategy == "ghost":
            return False
        if self.strategy in ("crb", "unfold"):
            return True
        sizes = self.sizes(call)
        return outer_operations(*sizes) <= ghost_operations(*sizes)

    def gradients(self, call: Call, examples: slice) -> dict[str, Tensor]:
        inputs, gradients = self.pair(call, examples)
        found = {}
        weight = self.of_weight()
        if weight is not None:
            found["weight"] = self.of_matrix(inputs, gradients).reshape(-1, *weight.shape)
        if "bias" in self.slots:
            found["bias"] = self.of_bias(gradients)
        return found

    def of_matrix(self, inputs: Tensor, gradients: Tensor) -> Tensor:
        """Each example's gradient of the weight, whose shape it need not have."""
        return outer_products(*self.factors(inputs, gradients))

    def squares(self, call: Call, examples: slice) -> dict[str, Tensor]:
        if self.explicit(call):
            return super().squares(call, examples)
        inputs, gradients = self.pair(call, examples)
        found = {}
        if self.of_weight() is not None:
            found["weight"] = ghost_squares(*self.factors(inputs, gradients))
        if "bias" in self.slots:
            found["bias"] = self.of_bias(gradients).square().sum(1)
        return found

    def weighted_sums(self, call: Call, factors: Tensor) -> dict[str, Tensor]:
        inputs, gradients = self.pair(call, slice(None))
        weighted = gradients * factors.to(gradients).view(-1, *[1] * (gradients.dim() - 1))
        found = {}
        weight = self.of_weight()
        if weight is not None:
            found["weight"] = self.sum_of_matrices(inputs, weighted).reshape(weight.shape)
        if "bias" in self.slots:
            found["bias"] = self.of_bias(weighted).sum(0)
        return found

    def sum_of_matrices(self, inputs: Tensor, gradients: Tensor) -> Tensor:
        """The gradients of the weight summed over the examples, by one matrix product."""
        inside, outside = (part.permute(1, 2, 0, 3).flatten(2) for part in self.factors(inputs, gradients))
        return outside @ inside.mT


class LinearUnit(MatrixUnit):
    """A fully connected layer, on axis -1 of its inputs."""

    def check(self, arguments: tuple, keywords: Mapping[str, Any]) -> None:
        inputs = first(arguments, keywords)
        if inputs.dim() < 2:
            raise ValueError(f"{self} was given inputs {tuple(inputs.shape)}, without an axis of examples")

    def factors(self, inputs: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
        inside, outside = (part.reshape(len(part), 1, -1, part.shape[-1]).mT for part in (inputs, gradients))
        return inside, outside

    def of_bias(self, gradients: Tensor) -> Tensor:
        return gradients.flatten(1, -2).sum(1) if gradients.dim() > 2 else gradients

    def sizes(self, call: Call) -> tuple[int, int, int, int]:
        inputs, (shape, _) = first_tensor(call), call.outputs[0]
        return 1, inputs.shape[-1], shape[-1], inputs[0].numel() // inputs.shape[-1]


class ShuffleUnit(MatrixUnit):
    """A learned shuffle. Its matrix has the gradient of one that mixes channels, a permutation in its place or not."""

    module: LearnedShuffle

    def factors(self, inputs: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
        inside, outside = (self._mixed(part) for part in (inputs, gradients))
        return inside, outside * 0 if self.module.fixed else outside

    def _mixed(self, part: Tensor) -> Tensor:
        copies = 2 if self.module.keep_pairs else 1
        return part.reshape(len(part), copies, self.module.channels // copies, -1).transpose(1, 2).flatten(2)[:, None]

    def sizes(self, call: Call) -> tuple[int, int, int, int]:
        moved = len(self.module.matrix)
        return 1, moved, moved, first_tensor(call)[0].numel() // moved


def first(arguments: tuple, keywords: Mapping[str, Any]) -> Tensor:
    """The input of a module that has one, by place or by name."""
    found: Tensor = arguments[0] if arguments else next(iter(keywords.values()))
    return found


def first_tensor(call: Call) -> Tensor:
    """The same of a recorded call."""
    return first(call.arguments, call.keywords)
