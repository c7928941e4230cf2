"""Spectral normalisation of fully connected layers: Miyato et al. 2018 (arXiv 1802.05957), one-sided."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from lipnet.layers.constrained import Estimated
from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.power import at_most_one, start_vector, unit
from lipnet.layers.scale import binary_halves, binary_scale
from lipnet.layers.sizes import Device, whole_number
from lipnet.layers.tracing import is_transformed, without_derivatives


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
        with without_derivatives():
            halves = binary_halves(binary_scale(raw_weight)[0, 0])
            vector = start_vector(self.vector, raw_weight.dtype)
            for _ in range(self.iterations):
                image = unit(_scaled_product(raw_weight, vector, halves))
                vector = unit(_scaled_product(raw_weight.mT, image, halves))
            if not is_transformed(raw_weight):
                self.vector.copy_(vector)
            image = unit(_scaled_product(raw_weight, vector, halves))
        return apply_map(partial(_normalize, halves=halves, image=image, vector=vector), raw_weight)

    def build_evaluated(self, raw_weight: Tensor) -> Tensor:
        exact = raw_weight.double()
        return (exact / torch.linalg.matrix_norm(exact, ord=2).clamp_min(1.0)).to(raw_weight.dtype)


def _scaled_product(matrix: Tensor, vector: Tensor, halves: tuple[Tensor, Tensor]) -> Tensor:
    """``(matrix / scale) @ vector`` without a second matrix: half of the scale before the product, half after it."""
    before, after = halves
    return matrix @ (vector / before) / after


def _normalize(matrix: Tensor, halves: tuple[Tensor, Tensor], image: Tensor, vector: Tensor) -> Tensor:
    return at_most_one(matrix, image @ _scaled_product(matrix, vector, halves), halves[0] * halves[1])
