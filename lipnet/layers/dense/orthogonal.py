"""The orthogonal fully connected layer."""

import functools
from typing import Any

import torch
from torch import Tensor

from lipnet.layers.cached import CachedWeight
from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.layers.given import given_weight
from lipnet.layers.orthogonal import (
    Orthogonalizer,
    apply_map,
    bjorck,
    cholesky,
    congruence,
    inverse_cholesky_factor,
    qr_inner_gradient,
    start_orthogonal,
)
from lipnet.layers.sizes import LOW_PRECISION, Device
from lipnet.layers.tracing import is_transformed

# Squared condition number of the free matrix up to which training may use its Cholesky factor without forming the
# weight. The map is then orthogonal within 1e-4 in float32; evaluation and certificates always use ``weight``.
_FACTOR_CONDITION = 1e3


class OrthogonalLinear(ConstrainedLinear):
    """``y = W x + b`` with orthonormal rows (``out <= in``) or columns (``out >= in``): every singular value is 1.

    A drop-in for ``nn.Linear``. With ``orthogonalize=bjorck`` it is the Björck layer of Anil et al. 2019
    (arXiv 1811.05381); the default map gives the same set of matrices at a fraction of the cost.

    Args:
        in_features, out_features: sizes of the last dimension of input and output.
        bias: adds a learned bias, drawn from ``±1/sqrt(in_features)``.
        orthogonalize: the map of ``lipnet.layers.orthogonal`` from the free matrix to ``weight``.
        device, dtype: of the parameters, as for ``nn.Linear``.

    ``weight`` has shape ``(out_features, in_features)``; ``raw_weight``, the learned free matrix, starts orthogonal.
    """

    _cached_factor = CachedWeight(differentiable=False)

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, orthogonalize: Orthogonalizer = cholesky,
        device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias, device, dtype)
        self.orthogonalize = orthogonalize
        self.reset_parameters()

    def reset_parameters(self) -> None:
        start_orthogonal(self.raw_weight)
        super().reset_parameters()

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return apply_map(self.orthogonalize, raw_weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        self.check_features(inputs)
        if self.training and self._trains_on(inputs):
            factor = self._cached_factor.get(self, _factor, [self.raw_weight])
            if factor.numel():
                flat = inputs.reshape(-1, self.in_features).to(factor.dtype)
                with torch.autocast(inputs.device.type, enabled=False):
                    outputs = _FactoredLinear.apply(flat, self.raw_weight, self.bias, factor)
                return outputs.view(*inputs.shape[:-1], self.out_features)
        return super().forward(inputs)

    def _trains_on(self, inputs: Tensor) -> bool:
        """Whether to train without forming the weight: with fewer rows than it has."""
        return (
            self.orthogonalize is cholesky
            and given_weight(self) is None
            and torch.is_grad_enabled()
            and self.raw_weight.requires_grad
            and not self.raw_weight.is_meta
            and self.raw_weight.dtype not in LOW_PRECISION
            and not is_transformed(inputs, self.raw_weight)
            and inputs.numel() // self.in_features < max(self.in_features, self.out_features)
        )


def bjorck_linear(inputs: int, outputs: int, iterations: int) -> OrthogonalLinear:
    """The layer by Björck's iterations."""
    return OrthogonalLinear(inputs, outputs, orthogonalize=functools.partial(bjorck, iterations=iterations))


def _factor(raw_weight: Tensor) -> Tensor:
    """``L⁻¹`` of the free matrix's small Gram matrix ``LLᵀ``; empty where that would be too inaccurate."""
    tall = raw_weight if raw_weight.shape[0] >= raw_weight.shape[1] else raw_weight.mT
    inverse, condition = inverse_cholesky_factor(tall, _FACTOR_CONDITION)
    return inverse if condition <= _FACTOR_CONDITION else inverse.new_empty(0)


class _FactoredLinear(torch.autograd.Function):
    """``x Wᵀ + b`` with ``W = L⁻¹ A`` (rows) or ``A L⁻ᵀ`` (columns), in terms of the free matrix A and ``L⁻¹``.

    Neither W nor its gradient is formed. Both cost a product of A with a square matrix, which a batch smaller than
    A's long side does not need: ``y = (x Aᵀ) L⁻ᵀ`` forward, and backward the one product ``G W`` that the gradient of a
    QR decomposition asks of the large matrices is ``gᵀ y`` (rows) or ``xᵀ dx`` (columns), with batch-sized factors.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, raw: Tensor, bias: Tensor | None, inverse: Tensor) -> Tensor:
        wide = raw.shape[0] < raw.shape[1]
        product = inputs @ raw.mT @ inverse.mT if wide else (inputs @ inverse) @ raw.mT
        ctx.save_for_backward(inputs, raw, inverse, product if wide else inputs)
        ctx.wide, ctx.has_bias = wide, bias is not None
        return product if bias is None else product + bias

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(gradient.device.type, enabled=False):
            return _FactoredLinear._gradients(ctx, gradient)

    @staticmethod
    def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, raw, inverse, product = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: through the weight, which autograd can differentiate again
            weight = cholesky(raw)
            to_raw = torch.autograd.grad(weight, raw, gradient.mT @ inputs, create_graph=True)[0]
            to_inputs = gradient @ weight
        elif ctx.wide:
            inner = gradient @ inverse
            to_inputs = inner @ raw
            square = congruence(qr_inner_gradient(gradient.mT @ product), inverse)
            to_raw = _minus_product(inner.mT @ inputs, square, raw)
        else:
            to_inputs = gradient @ raw @ inverse.mT
            square = congruence(qr_inner_gradient(inputs.mT @ to_inputs), inverse)
            to_raw = _minus_product(gradient.mT @ (inputs @ inverse), raw, square)
        return to_inputs, to_raw, gradient.sum(0) if ctx.has_bias else None, None


def _minus_product(start: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """``start - first @ second``, into ``start`` unless it stands for a batch of gradients."""
    if is_transformed(start):
        return start - first @ second
    return torch.addmm(start, first, second, alpha=-1, out=start)
