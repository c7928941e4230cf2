"""Sandwich layers: a nonlinearity between two factors of one orthonormal matrix (Wang & Manchester, 2301.11526)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.cayley import cayley
from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.sizes import whole_number


class PlainSandwich(nn.Module):
    """``P relu(Q x + b)`` of free matrices, in torch alone: what ``to_plain`` turns a ``Sandwich`` into.

    ``scale``, positive numbers ψ, is not computed with. It proves a constant: with ``M = [(P / ψ)ᵀ, ψ Q] / sqrt(2)``
    that is at most ``|M|²``. For unit vectors u and x, and D between 0 and 1, ``<u, P D Q x> = Σ_i d_i 2 a_i c_i`` for
    ``a = Pᵀu / (sqrt(2) ψ)`` and ``c = ψ Q x / sqrt(2)``, and each term is at most ``(a_i + c_i)² / 2``; their sum is
    ``|M [u; x]|² / 2``, and ``|[u; x]|² = 2``.
    """

    scale: Tensor

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.inner = nn.Parameter(torch.zeros(out_features, in_features))
        self.outer = nn.Parameter(torch.zeros(out_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.register_buffer("scale", torch.ones(out_features))

    def forward(self, inputs: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        return functional.linear(functional.relu(functional.linear(inputs, self.inner, self.bias)), self.outer)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}"


class Sandwich(nn.Module):
    """``sqrt(2) Aᵀ Ψ relu(sqrt(2) Ψ⁻¹ B x + b)`` with ``A Aᵀ + B Bᵀ = I`` and a positive diagonal Ψ: 1-Lipschitz.

    A layer with its activation in it: what follows it needs none. ``PlainSandwich`` has the proof.

    Args:
        in_features, out_features: sizes of the last dimension of input and output.

    Learned: ``rows``, a layer whose weight is ``[A B]``, by Cayley's map; the logarithms of Ψ, ``log_scale``, which
    start at 0; and ``bias``.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features = whole_number(in_features, "in_features", "Sandwich")
        self.out_features = whole_number(out_features, "out_features", "Sandwich")
        self.rows = CayleyRows(self.out_features + self.in_features, self.out_features)
        self.log_scale = nn.Parameter(torch.zeros(self.out_features))
        bound = 1 / math.sqrt(self.in_features)
        self.bias = nn.Parameter(torch.empty(self.out_features).uniform_(-bound, bound))

    def forward(self, inputs: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        inner, outer = self.factors()
        return functional.linear(functional.relu(functional.linear(inputs, inner, self.bias)), outer)

    def factors(self) -> tuple[Tensor, Tensor]:
        """``sqrt(2) Ψ⁻¹ B`` and ``sqrt(2) Aᵀ Ψ``."""
        first, second = self.rows.effective_weight().split([self.out_features, self.in_features], dim=1)
        scale = self.log_scale.exp()
        return 2**0.5 * second / scale[:, None], 2**0.5 * first.mT * scale

    @torch.no_grad()
    def plain(self) -> PlainSandwich:
        """The same function, frozen as it is now."""
        inner, outer = self.factors()
        plain = PlainSandwich(self.in_features, self.out_features).to(inner)
        for own, value in ((plain.inner, inner), (plain.outer, outer), (plain.bias, self.bias)):
            own.copy_(value)
        plain.scale.copy_(self.log_scale.exp())
        return plain

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}"


class CayleyRows(ConstrainedLinear):
    """Orthonormal rows by Cayley's map, of a free matrix that starts as ``nn.Linear``'s."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)
        nn.init.kaiming_uniform_(self.raw_weight, a=math.sqrt(5))

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return apply_map(cayley, raw_weight)
