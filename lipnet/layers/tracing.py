"""When a layer may look at its inputs, and when it may take its own fast path."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode


def shape_is_known(inputs: Any) -> bool:
    """Whether shapes are numbers to compare: ``torch.fx`` and ``torch.jit.trace`` would record the comparison."""
    return isinstance(inputs, Tensor) and not torch.jit.is_tracing()


def runs_eagerly(*tensors: Any) -> bool:
    """Whether these tensors are computed now, as they are: no tracer, compiler, transform or tangent is at work.

    Only then may a layer use memory layouts, ``out=`` and functions of its own: the others follow ordinary operations.
    """
    return not (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
        or is_in_torch_dispatch_mode()
        or not all(_is_ordinary(tensor) for tensor in tensors)
    )


def _is_ordinary(tensor: Any) -> bool:
    return (
        isinstance(tensor, Tensor)
        and forward_ad.unpack_dual(tensor).tangent is None
        and not torch._C._functorch.is_legacy_batchedtensor(tensor)  # of is_grads_batched=True
    )
