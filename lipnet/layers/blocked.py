"""A dense layer whose sums are taken in blocks."""

from typing import Any

import torch
from torch import Tensor, nn


class BlockedLinear(nn.Linear):
    """``nn.Linear`` that sums ``block`` products at a time and then the sums: the same function, less rounding.

    A product of n passes through ``block + n / block`` additions instead of n, whatever the order of each sum, at the
    time of ``nn.Linear``. Where n has no fitting divisor there is one block.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        sizes = [size for size in range(96, min(in_features, 512) + 1) if in_features % size == 0]
        self.block = min(sizes, key=lambda size: size + in_features // size, default=in_features)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(..., in_features)`` -> ``(..., out_features)``."""
        if self.block == self.in_features:
            return super().forward(inputs)
        if inputs.dim() != 2:
            return self(inputs.reshape(-1, self.in_features)).reshape(*inputs.shape[:-1], self.out_features)
        parts = inputs.unflatten(1, (-1, self.block)).transpose(0, 1)  # (blocks, batch, block)
        sums = torch.bmm(parts, self.weight.unflatten(1, (-1, self.block)).permute(1, 2, 0)).sum(0)
        return sums if self.bias is None else sums + self.bias
