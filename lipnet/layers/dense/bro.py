"""Orthogonal fully connected layers by block reflectors (BRO): Lai et al., ICML 2025, arXiv 2505.15174."""

from functools import partial

import torch
from torch import Tensor

from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.reflection import rank, reflecting, reflection, start_as_signs
from lipnet.layers.sizes import Device


class BROLinear(ConstrainedLinear):
    """``y = W x + b`` with orthonormal rows or columns: a part of the reflection of a subspace.

    A drop-in for ``nn.Linear``. A square W is symmetric.

    Args:
        share: of the directions, those that are reflected.
        in_features, out_features, bias, device, dtype: as for ``nn.Linear``.

    Learned: ``raw_weight (n, share n)``, ``n = max(out, in)``, the columns of what is reflected; they start near the
    first features, so that W is nearly the identity but for signs.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Device = None,
        dtype: torch.dtype | None = None, share: float = 0.5,
    ) -> None:  # fmt: skip
        self.share = share
        super().__init__(in_features, out_features, bias, device, dtype)
        self.reset_parameters()

    def raw_shape(self) -> tuple[int, ...]:
        widest = max(self.in_features, self.out_features)
        return widest, rank(widest, self.share)

    def reset_parameters(self) -> None:
        start_as_signs(self.raw_weight)
        super().reset_parameters()

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return apply_map(partial(_weight, self.out_features, self.in_features), raw_weight)


def _weight(outputs: int, inputs: int, raw_weight: Tensor) -> Tensor:
    return reflection(reflecting(raw_weight))[:outputs, :inputs]
