"""When a layer may look at its inputs, and when it may take its own fast path."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode


def shape_is_known(inputs: Any) -> bool:
    """Whether shapes are numbers to compare: ``torch.fx`` and ``torch.jit.trace`` would record the comparison."""
    return isinstance(inputs, Tensor) and not torch.jit.is_tracing()


def runs_eagerly(inputs: Any) -> bool:
    """Whether a layer is computed now, and as it is: no tracer, compiler, transform or tangent is at work.

    Only then may it use memory layouts, ``out=`` and functions of its own: all those follow ordinary operations.
    """
    return not (
        torch.compiler.is_compiling()
        or not shape_is_known(inputs)
        or torch._C._are_functorch_transforms_active()
        or is_in_torch_dispatch_mode()
        or forward_ad._current_level >= 0  # of tangents
    )
