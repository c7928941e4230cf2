"""A last layer whose rows have norm 1 but need not be orthogonal: Singla, Singla, Feizi 2022 (arXiv 2108.04062)."""

import torch
from torch import Tensor
from torch.nn import functional

from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.layers.orthogonal import apply_map, start_orthogonal
from lipnet.layers.scale import binary_scale
from lipnet.layers.sizes import Device


class UnitRowLinear(ConstrainedLinear):
    """``y = W x + b`` with rows of norm 1: each output is 1-Lipschitz, all of them together are not.

    A drop-in for ``nn.Linear``, for logits: two of them differ by a function with constant ``|w_i - w_j| <= 2``, which
    ``pairwise_certified_radii`` uses. ``lipschitz_bound`` takes the matrix's spectral norm, at most
    ``sqrt(out_features)``.

    Args:
        in_features, out_features, bias, device, dtype: as for ``nn.Linear``.

    ``weight`` has shape ``(out_features, in_features)``; ``raw_weight``, the learned free matrix, starts with
    orthonormal rows where ``out_features <= in_features``.
    """

    bounded_by_one = False  # but each of its outputs is

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        start_orthogonal(self.raw_weight)
        super().reset_parameters()

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        """The matrix of unit rows; a row of zeros stays one."""
        return apply_map(_unit_rows, raw_weight)


def _unit_rows(matrix: Tensor) -> Tensor:
    return functional.normalize(matrix / binary_scale(matrix, -1))
