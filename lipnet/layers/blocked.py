"""A fully connected layer whose long sums are taken in blocks."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK = 128  # about the square root of the longest sums; smaller blocks take more memory than they save in error


class BlockedLinear(nn.Linear):
    """``nn.Linear`` whose inner products are sums of partial ones, each over at most ``block`` inputs.

    In floating point a sum of n terms may err by n units in the last place of its terms, one of k sums of b terms by
    b + k of them (Higham 2002, section 3.1), in whatever order either is taken. The same function otherwise, with the
    same weights and names. ``to_plain`` makes it of constrained layers with many inputs.

    Args:
        block: terms in each partial sum, the last one's maybe fewer.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, block: int = BLOCK,
        device: torch.device | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        if block < 1:
            raise ValueError(f"BlockedLinear needs block >= 1, got {block}")
        self.block = block

    @property
    def terms(self) -> int:
        """Roundings that a product may meet: in its own block's sum, and in the sum of the blocks."""
        return min(self.block, self.in_features) + math.ceil(self.in_features / self.block)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        rows = inputs.reshape(-1, self.in_features)
        partial = torch.bmm(self._blocks(rows), self._blocks(self.weight).mT)
        total = partial.sum(0) if self.bias is None else partial.sum(0) + self.bias
        return total.reshape(*inputs.shape[:-1], self.out_features)

    def _blocks(self, rows: Tensor) -> Tensor:
        """``(n, in_features) -> (blocks, n, block)``, filled up with zeros."""
        missing = -self.in_features % self.block
        rows = functional.pad(rows, (0, missing)) if missing else rows
        return rows.unflatten(1, (-1, self.block)).transpose(0, 1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, block={self.block}"
