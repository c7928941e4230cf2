"""Weights that constrained layers use for a while in place of those that they build.

Whoever wants the gradient of a layer's weight, and not of what it is built from, gives the layer a leaf of autograd.
Given weights are of one thread (a context variable), so that another one that uses the layer sees nothing of them, and
no attribute of a layer remembers them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

_given: ContextVar[Mapping[nn.Module, Tensor] | None] = ContextVar("given", default=None)


@contextmanager
def given_weights(weights: Mapping[nn.Module, Tensor]) -> Iterator[None]:
    """The layers compute with these weights until the end of the context, whether that comes with an exception or not.

    Compiled layers do not: they compute with what they were compiled with.
    """
    token = _given.set({**(_given.get() or {}), **weights})
    try:
        yield
    finally:
        _given.reset(token)


def given_weight(layer: nn.Module) -> Tensor | None:
    """The weight that the layer is given, if it is."""
    if torch.compiler.is_compiling():
        return None
    weights = _given.get()
    return None if weights is None else weights.get(layer)
