"""When a layer may look at its inputs, when it may take its own fast path, and when it may cache."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

P = ParamSpec("P")
R = TypeVar("R")


def not_compiled(function: Callable[P, R]) -> Callable[P, R]:
    """What ``torch.compile`` breaks its graph at and runs as it is.

    As torch's own modules do: ``torch.compiler.disable`` imports the compiler at once, which takes as long as torch.
    """
    return torch._disable_dynamo(function)


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


def is_transformed(*tensors: Any) -> bool:
    """Whether operations on these tensors are more than their values: they are batched, differentiated or recorded.

    Such are the tensors within ``torch.func``, those that carry a tangent of forward-mode differentiation, gradients
    under ``is_grads_batched=True``, and everything under the tracers of ``make_fx`` and ``torch.export``. A weight that
    is built from them is built of torch's own operations, none of them in place, and is never cached.
    """
    if torch.compiler.is_dynamo_compiling():  # it follows transforms itself, and none of these questions
        return False
    if torch._C._are_functorch_transforms_active() or _is_recorded() or _has_tangent(tensors):
        return True
    for tensor in tensors:
        if not isinstance(tensor, Tensor) or torch._C._functorch.is_legacy_batchedtensor(tensor):
            return True
    return False


def is_cacheable(tensors: Sequence[Tensor]) -> bool:
    """Whether what is computed from these tensors may be cached: no tracer or transform takes part in *them*.

    Within ``torch.func`` that may be so of a layer's parameters, though not of its inputs.
    """
    if not torch._C._are_functorch_transforms_active():
        return not _is_recorded() and not _has_tangent(tensors)
    if any(torch._C._functorch.is_functorch_wrapped_tensor(tensor) for tensor in tensors):
        return False
    with untransformed():
        return is_cacheable(tensors)


def _is_recorded() -> bool:
    return torch._C._len_torch_dispatch_stack() > 0 and any(torch._C._get_dispatch_mode(mode) for mode in _TRACERS)


_TRACERS = (torch._C._TorchDispatchModeKey.FAKE, torch._C._TorchDispatchModeKey.PROXY)


def _has_tangent(tensors: Sequence[Any]) -> bool:
    if forward_ad._current_level < 0:
        return False
    return any(isinstance(part, Tensor) and forward_ad.unpack_dual(part).tangent is not None for part in tensors)


def untransformed() -> AbstractContextManager:
    """Computes what no transform and no forward-mode differentiation takes part in, though one may be under way."""
    under_way = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0 or _legacy_nesting() > 0
    return _escaped() if under_way else nullcontext()


@contextmanager
def without_derivatives() -> Iterator[None]:
    """Computes what no derivative flows through, neither backward nor forward."""
    with torch.no_grad(), forward_ad._set_fwd_grad_enabled(False):
        yield


def _legacy_nesting() -> int:
    """How many calls of the older ``vmap`` are nested here, which ``vectorize=True`` and others use."""
    torch._C._vmapmode_increment_nesting()
    return torch._C._vmapmode_decrement_nesting()


@contextmanager
def _escaped() -> Iterator[None]:
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

    nesting = _legacy_nesting()
    with temporarily_clear_interpreter_stack(), forward_ad._set_fwd_grad_enabled(False):
        for _ in range(nesting):
            torch._C._vmapmode_decrement_nesting()
        try:
            yield
        finally:
            for _ in range(nesting):
                torch._C._vmapmode_increment_nesting()
