"""What constrained fully connected layers share."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.constrained import Constrained
from lipnet.layers.sizes import (
    Device,
    check_dtype,
    whole_number,
)
from lipnet.layers.tracing import shape_is_known


class ConstrainedLinear(Constrained):
    """A drop-in for ``nn.Linear``, whose ``weight`` is built from a free matrix, usually of its own shape.

    A subclass calls ``super().__init__`` and ``reset_parameters``, which fills ``raw_weight``, and has
    ``build_weight(raw_weight)``.

    Args:
        in_features, out_features: sizes of the last dimension of input and output.
        bias: adds a learned bias.
        device, dtype: of the parameters, as for ``nn.Linear``.

    Raises:
        ValueError: such a layer does not exist.
        RuntimeError: inputs with another number of features.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        layer = type(self).__name__
        self.in_features = whole_number(in_features, "in_features", layer)
        self.out_features = whole_number(out_features, "out_features", layer)
        check_dtype(dtype, layer)
        self.raw_weight = nn.Parameter(torch.empty(self.raw_shape(), device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(self.out_features, device=device, dtype=dtype)) if bias else None

    def weight_shape(self) -> tuple[int, ...]:
        return self.out_features, self.in_features

    def raw_shape(self) -> tuple[int, ...]:
        """The shape of the free matrix."""
        return self.weight_shape()

    def reset_parameters(self) -> None:
        """Draws the bias from ``±1/sqrt(in_features)``; subclasses fill ``raw_weight``."""
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            nn.init.uniform_(self.bias, -bound, bound)

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_weight]

    def forward(self, inputs: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        self.check_features(inputs)
        return functional.linear(inputs, self.effective_weight(), self.bias)

    def check_features(self, inputs: Tensor) -> None:
        """Refuses inputs with another last dimension."""
        if shape_is_known(inputs) and (inputs.dim() == 0 or inputs.shape[-1] != self.in_features):
            raise RuntimeError(f"{self} needs inputs of shape (..., {self.in_features}), got {tuple(inputs.shape)}")

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")
