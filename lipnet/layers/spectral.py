"""Spectral normalisation of fully connected layers: Miyato et al. 2018 (arXiv 1802.05957), one-sided."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.constrained import ConstrainedLinear, Estimated
from lipnet.layers.orthogonal import apply_map


class SpectralLinear(Estimated, ConstrainedLinear):
    """``y = W x / max(1, |W|) + b``: a 1-Lipschitz drop-in for ``nn.Linear`` whose other singular values are free.

    While training the norm is estimated by power iteration, from the last step's vector: a *lower* estimate, through
    which gradients flow. What is evaluated, and certified, is divided by the exact norm of the present matrix.

    Args:
        in_features, out_features, bias: as for ``nn.Linear``.
        iterations: power iterations a training step.
    """

    vector: Tensor

    def __init__(self, in_features: int, out_features: int, bias: bool = True, iterations: int = 10) -> None:
        super().__init__(in_features, out_features, bias)
        self.iterations = iterations
        self.register_buffer("vector", torch.empty(in_features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.raw_weight, a=math.sqrt(5))
        super().reset_parameters()
        self.vector.normal_()

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return apply_map(self._normalize, raw_weight)

    def _normalize(self, matrix: Tensor) -> Tensor:
        with torch.no_grad():
            for _ in range(self.iterations):
                image = functional.normalize(matrix @ self.vector, dim=0)
                self.vector.copy_(functional.normalize(matrix.mT @ image, dim=0))
            image, vector = functional.normalize(matrix @ self.vector, dim=0), self.vector.clone()
        return matrix / (image @ (matrix @ vector)).clamp_min(1.0)

    def build_evaluated(self, raw_weight: Tensor) -> Tensor:
        exact = raw_weight.double()
        return (exact / torch.linalg.matrix_norm(exact, ord=2).clamp_min(1.0)).to(raw_weight.dtype)
