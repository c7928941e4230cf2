"""Orthogonal fully connected layers by Cayley's map: Trockman & Kolter, ICLR 2021, arXiv 2104.07167."""

import torch
from torch import Tensor, nn

from lipnet.layers.cayley import at_norm, cayley, start_at_own_norm
from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.sizes import Device


class CayleyLinear(ConstrainedLinear):
    """``y = W x + b`` with orthonormal rows or columns, by Cayley's map: a drop-in for ``nn.Linear``.

    Args:
        in_features, out_features, bias, device, dtype: as for ``nn.Linear``.

    Learned: ``raw_weight (out, in)``, which starts as ``nn.Linear``'s weight does, and ``norm``, the Frobenius norm
    that it is taken at, which starts as its own.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias, device, dtype)
        self.norm = nn.Parameter(torch.empty((), device=device, dtype=dtype))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        start_at_own_norm(self.raw_weight, self.norm)
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_weight, self.norm]

    def build_weight(self, raw_weight: Tensor, norm: Tensor) -> Tensor:
        return apply_map(_weight, raw_weight, norm)


def _weight(raw_weight: Tensor, norm: Tensor) -> Tensor:
    return cayley(at_norm(raw_weight, norm))
