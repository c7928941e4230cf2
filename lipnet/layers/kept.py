"""An effective weight that is built once, kept, and never stale."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

Build = Callable[..., Tensor]


class KeptWeight:
    """Keeps ``build(*parameters)`` until a parameter changes.

    While gradients are needed the weight is built once per optimizer step, however often it is asked for; otherwise
    once until anything changes a parameter. A change is seen by the parameter's identity, storage, dtype and version,
    and, because fused optimizers and edits through ``.data`` move none of these, by its values (see ``_Seen``).
    Copies of a layer start with nothing kept.

    Two losses that share a kept weight (real and generated batches, accumulated gradients) each run backward through
    it, so ``build`` must allow more than one backward pass: it is made of views and of functions that keep what they
    need in attributes of their context, not with ``save_for_backward``, which autograd frees after the first.
    """

    def __init__(self) -> None:
        self._weight: Tensor | None = None
        self._seen: list[_Seen] = []

    def get(self, build: Build, parameters: Sequence[Tensor]) -> Tensor:
        """The weight for the parameters' present values; it carries gradients where autograd is recording."""
        return (_get_opaque if torch.compiler.is_compiling() else KeptWeight._get)(self, build, parameters)

    def _get(self, build: Build, parameters: Sequence[Tensor]) -> Tensor:
        differentiable = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters)
        if (
            self._weight is None
            or differentiable > self._weight.requires_grad
            or self._changed(parameters, differentiable)
        ):
            self._weight = _build(build, parameters, differentiable)
            self._seen = [_Seen(parameter) for parameter in parameters]
        return self._weight if differentiable or not self._weight.requires_grad else self._weight.detach()

    def _changed(self, parameters: Sequence[Tensor], differentiable: bool) -> bool:
        for seen, parameter in zip(self._seen, parameters, strict=True):
            if (differentiable and seen.learned != parameter.requires_grad) or not seen.holds(parameter):
                return True
        return False

    def __deepcopy__(self, memo: dict) -> "KeptWeight":
        return KeptWeight()

    def __reduce__(self) -> tuple:
        return KeptWeight, ()


# Without a wrapper around every uncompiled call: dynamo breaks its graph here and runs this as it is.
_get_opaque = torch.compiler.disable(KeptWeight._get)


class _Seen:
    """What a parameter looked like when the weight was built from it."""

    def __init__(self, parameter: Tensor) -> None:
        self.parameter = parameter
        self.address, self.dtype = parameter.data_ptr(), parameter.dtype
        self.version = _version(parameter)
        self.learned = parameter.requires_grad
        # A copy of every value if that is little, or else of some rows, and exact sums of the others: those are as fast
        # as reading the memory once, and no change of one element leaves them as they are. What a sum cannot see, a
        # change of order within a row, is seen in the copied rows by whoever reorders all rows.
        contiguous = parameter.is_contiguous()  # flattening anything else would copy it
        values = parameter.detach()
        rows = values.flatten(0, -2) if contiguous and parameter.dim() > 1 else values
        step = 1 + parameter.numel() // _COPIED if contiguous else 1
        self.some = rows[::step]  # also keeps the storage alive, so that its address cannot be reused unseen
        self.some_values = self.some.clone()
        self.words = _words(rows) if step > 1 else None
        self.sums = None if self.words is None else self.words.sum(-1)

    def holds(self, parameter: Tensor) -> bool:
        return (
            parameter is self.parameter
            and _version(parameter) == self.version
            and parameter.data_ptr() == self.address
            and parameter.dtype is self.dtype
            and torch.equal(self.some, self.some_values)
            and (self.words is None or self.sums is None or torch.equal(self.words.sum(-1), self.sums))
        )


_COPIED = 4096  # elements


def _version(parameter: Tensor) -> int | None:
    return None if parameter.is_inference() else parameter._version  # inference tensors count none


def _words(rows: Tensor) -> Tensor:
    """The memory of contiguous rows, as the longest integers that fit."""
    length = rows.shape[-1] * rows.element_size()
    return rows.view(next(dtype for dtype in _INTEGERS if length % dtype.itemsize == 0))


_INTEGERS = (torch.int64, torch.int32, torch.int16)


def _build(build: Build, parameters: Sequence[Tensor], differentiable: bool) -> Tensor:
    # Outside inference mode and autocast: the weight may be used later under autograd, and must be exact. The builder's
    # own saved tensors are no business of hooks around the layer (activation checkpointing counts and drops them).
    device = parameters[0].device.type
    autocast = torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
    with torch.inference_mode(False), autocast:
        if differentiable:
            with torch.autograd.graph.saved_tensors_hooks(_as_it_is, _as_it_is):
                return build(*parameters).contiguous()
        with torch.no_grad():
            return build(*parameters).contiguous()  # once here, not in every convolution


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor
