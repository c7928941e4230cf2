"""A last layer whose rows have norm 1 but need not be orthogonal: Singla, Singla, Feizi 2022 (arXiv 2108.04062)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.kept import KeptWeight
from lipnet.layers.orthogonal import apply_map


class UnitRowLinear(nn.Module):
    """``y = W x + b`` with rows of norm 1: each output is 1-Lipschitz, all of them together are not.

    A drop-in for ``nn.Linear``, for logits: two of them differ by a function with constant ``|w_i - w_j| <= 2``, which
    ``pairwise_certified_radii`` uses. ``lipschitz_bound`` takes the matrix's spectral norm, at most
    ``sqrt(out_features)``.

    Args:
        in_features, out_features, bias: as for ``nn.Linear``.

    ``weight`` has shape ``(out_features, in_features)``; ``raw_weight``, the learned free matrix, starts with
    orthonormal rows where ``out_features <= in_features``.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        if min(in_features, out_features) < 1:
            raise ValueError(f"UnitRowLinear needs at least one feature, got {in_features} -> {out_features}")
        self.in_features, self.out_features = in_features, out_features
        self.raw_weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self._kept = KeptWeight()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.orthogonal_(self.raw_weight)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            nn.init.uniform_(self.bias, -bound, bound)

    @property
    def weight(self) -> Tensor:
        """The matrix of unit rows ``(out_features, in_features)``; a row of zeros stays one."""
        return self._kept.get(self._build, [self.raw_weight])

    def _build(self, raw_weight: Tensor) -> Tensor:
        return apply_map(functional.normalize, raw_weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        return functional.linear(inputs, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")
