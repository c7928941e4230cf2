"""Spectral normalisation of fully connected layers: Miyato et al. 2018 (arXiv 1802.05957), one-sided."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from lipnet.layers.constrained import ConstrainedLinear, Estimated
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.power import at_most_one, start_vector, unit
from lipnet.layers.scale import binary_scale
from lipnet.layers.sizes import Device, whole_number
from lipnet.layers.tracing import constant, is_transformed


class SpectralLinear(Estimated, ConstrainedLinear):
    """``y = W x / max(1, |W|) + b``: a 1-Lipschitz drop-in for ``nn.Linear`` whose other singular values are free.

    While training the norm is estimated by power iteration, from the last step's vector: a *lower* estimate, through
    which gradients flow. What is evaluated, and certified, is divided by the exact norm of the present matrix.

    Args:
        in_features, out_features, bias, device, dtype: as for ``nn.Linear``.
        iterations: power iterations a training step.
    """

    vector: Tensor

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, iterations: int = 10, device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias, device, dtype)
        self.iterations = whole_number(iterations, "iterations", "SpectralLinear")
        self.register_buffer("vector", torch.empty(self.in_features, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.raw_weight, a=math.sqrt(5))
        super().reset_parameters()
        self.vector.normal_()

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        with constant():
            scale = binary_scale(raw_weight)[0, 0]
            fixed, vector = raw_weight / scale, start_vector(self.vector, raw_weight.dtype)
            for _ in range(self.iterations):
                vector = unit(fixed.mT @ unit(fixed @ vector))
            if not is_transformed(raw_weight):
                self.vector.copy_(vector)
            image = unit(fixed @ vector)
        return apply_map(partial(_normalize, scale=scale, image=image, vector=vector), raw_weight)

    def build_evaluated(self, raw_weight: Tensor) -> Tensor:
        exact = raw_weight.double()
        return (exact / torch.linalg.matrix_norm(exact, ord=2).clamp_min(1.0)).to(raw_weight.dtype)


def _normalize(matrix: Tensor, scale: Tensor, image: Tensor, vector: Tensor) -> Tensor:
    scaled = matrix / scale
    return at_most_one(scaled, image @ (scaled @ vector), scale)
