"""Almost-orthogonal fully connected layers (AOL): Prach & Lampert 2022 (arXiv 2208.03160)."""

from functools import partial

import torch
from torch import Tensor

from lipnet.layers.almost_orthogonal import rescaled
from lipnet.layers.convolutions.aol import start_near_identity
from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.sizes import Device, whole_number


class AOLLinear(ConstrainedLinear):
    """``y = W x + b`` with ``W = A diag(r)^(-1/2)``, where r are the sums over the rows of ``|AᵀA|``: 1-Lipschitz.

    Args:
        in_features, out_features, bias, device, dtype: as for ``nn.Linear``.
        steps: 1, the paper's, or more: each squares ``AᵀA`` once more, which rescales less.

    ``raw_weight``, A, starts as the identity, or with orthonormal rows or columns where it is no square.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, steps: int = 1, device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias, device, dtype)
        self.steps = whole_number(steps, "steps", type(self).__name__)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        start_near_identity(self.raw_weight)
        super().reset_parameters()

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return apply_map(partial(_rescaled_matrix, self.steps), raw_weight)


def _rescaled_matrix(steps: int, matrix: Tensor) -> Tensor:
    return rescaled(matrix[None, :, :, None, None], steps)[0, :, :, 0, 0]
