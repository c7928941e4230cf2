"""Linear layers as matrices, in float64, from their effective weights; their singular values."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.bound import Shape, nearest_type
from lipnet.certify.faithful import unfaithful
from lipnet.certify.norm import small_gram

Operator = Callable[[Any, Shape], Tensor]


def singular_values(layer: nn.Module, input_shape: Shape) -> Tensor:
    """All singular values of a layer as a linear map on inputs of ``input_shape`` (no batch axis), float64.

    The square roots of the Gram matrix's eigenvalues: exact to a few eps near the largest one; values below 1e-8 of it
    are not resolved. For a zero-padded convolution they are those of the circular convolution on the padded size, of
    which the layer is a compression: none of the layer's own is larger than their maximum.

    Raises:
        TypeError: the layer is not a linear one known here, or computes something else than its class does.
    """
    kind = nearest_type(layer, linear_operator.registry.keys() - {object})
    reason = unfaithful(layer, kind) if kind is not None else None
    if reason is not None:
        raise TypeError(f"no singular values of {type(layer).__name__}: {reason}")
    with torch.no_grad():
        gram = small_gram(linear_operator(layer, input_shape))
        return torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().flatten()


@functools.singledispatch
def linear_operator(layer: nn.Module, input_shape: Shape) -> Tensor:
    """A layer's linear map as one matrix, or as the blocks ``(..., m, n)`` of an orthogonal block-diagonalisation."""
    raise TypeError(f"{type(layer).__name__} is not a linear layer known here")


def register_operator(*module_types: type[nn.Module]) -> Callable[[Operator], Operator]:
    """``linear_operator.register`` of several types."""

    def register(operator: Operator) -> Operator:
        for kind in module_types:
            linear_operator.register(kind, operator)
        return operator

    return register
