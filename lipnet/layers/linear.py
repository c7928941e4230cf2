"""The orthogonal fully connected layer."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.kept import KeptWeight
from lipnet.layers.orthogonal import OrthogonalizationError, Orthogonalizer, cholesky


class OrthogonalLinear(nn.Module):
    """``y = W x + b`` with orthonormal rows (``out <= in``) or columns (``out >= in``): every singular value is 1.

    A drop-in for ``nn.Linear``. With ``orthogonalize=bjorck`` it is the Björck layer of Anil et al. 2019
    (arXiv 1811.05381); the default map gives the same set of matrices at a twentieth of the cost.

    Args:
        in_features, out_features: sizes of the last dimension of input and output.
        bias: adds a learned bias, drawn from ``±1/sqrt(in_features)``.
        orthogonalize: the map of ``lipnet.layers.orthogonal`` from the free matrix to ``weight``.

    ``weight`` has shape ``(out_features, in_features)``; ``raw_weight``, the learned free matrix, starts orthogonal.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, orthogonalize: Orthogonalizer = cholesky
    ) -> None:
        super().__init__()
        if min(in_features, out_features) < 1:
            raise ValueError(f"OrthogonalLinear needs at least one feature, got {in_features} -> {out_features}")
        self.in_features, self.out_features = in_features, out_features
        self.orthogonalize = orthogonalize
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
        """The orthonormal matrix ``(out_features, in_features)``."""
        try:
            return self._kept.get(self.orthogonalize, [self.raw_weight])
        except OrthogonalizationError as error:
            raise OrthogonalizationError(f"{self}: {error}") from error

    def forward(self, inputs: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        return functional.linear(inputs, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")
