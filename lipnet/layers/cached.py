"""An effective weight that is built once, cached, and never stale."""

import ctypes
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lipnet.layers.tracing import is_cacheable, not_compiled, untransformed

Build = Callable[..., Tensor]
Prepare = Callable[..., None]


class CachedWeight:
    """Builds ``build(*parameters)`` for a layer once, and again when a parameter has changed.

    While gradients are needed the weight is built once per optimizer step, however often it is asked for; otherwise
    once until anything changes a parameter. A change is seen by the parameter's identity and version, and, because
    fused optimizers, ``.data``, NumPy views and other processes move neither, by comparing its memory with a copy.

    It is an attribute of the layer's *class*: what it caches belongs to one layer, and no copy, replica or pickle of
    that layer takes it along. Threads may share a layer: what is cached is one object that is never altered, and one
    thread at a time builds. Parameters that ``torch.func`` transforms, that carry tangents or a history of their own,
    or that are recorded (``make_fx``, ``torch.export``) leave nothing behind.

    Two losses that share a cached weight (real and generated batches, accumulated gradients) each run backward through
    it, so ``build`` must allow more than one backward pass: it is made of views and of functions that keep what they
    need in attributes of their context, not with ``save_for_backward``, which autograd frees after the first.

    Args:
        differentiable: whether the weight carries gradients where autograd is recording.
    """

    def __init__(self, differentiable: bool = True) -> None:
        self.differentiable = differentiable
        self._slots: WeakKeyDictionary[nn.Module, _Slot] = WeakKeyDictionary()

    def get(
        self,
        layer: nn.Module,
        build: Build,
        parameters: Sequence[Tensor],
        prepare: Prepare | None = None,
        public: bool = False,
    ) -> Tensor:
        """The weight for the parameters' present values.

        Args:
            layer: whose weight it is.
            build: makes it from the parameters, which it must leave as they are.
            parameters: what it is made from.
            prepare: called with the parameters before they are read for a build, without gradients; it may change them.
            public: whether the caller may edit the weight. Edits never reach the cache: without gradients the weight is
                a copy; one with gradients is built again once it has been edited.
        """
        read = _read_opaque if torch.compiler.is_compiling() else CachedWeight._read
        return read(self, layer, build, parameters, prepare, public)

    def forget(self, layer: nn.Module) -> None:
        """Drops a layer's weight, where something other than its parameters has changed."""
        slot = self._slots.get(layer)
        if slot is not None:
            slot.built = None

    def _read(
        self, layer: nn.Module, build: Build, parameters: Sequence[Tensor], prepare: Prepare | None, public: bool
    ) -> Tensor:
        if not is_cacheable(parameters):
            return build(*parameters)
        if torch._C._are_functorch_transforms_active():
            with untransformed():
                return self._read_cached(layer, build, parameters, prepare, public)
        return self._read_cached(layer, build, parameters, prepare, public)

    def _read_cached(
        self, layer: nn.Module, build: Build, parameters: Sequence[Tensor], prepare: Prepare | None, public: bool
    ) -> Tensor:
        differentiable = False
        if self.differentiable and torch.is_grad_enabled():
            for parameter in parameters:
                differentiable = differentiable or parameter.requires_grad
                if not parameter.is_leaf:  # it has a history, which ends with this use
                    return _Built(build, parameters, True, prepare).weight
        slot = self._slots.get(layer) or self._slots.setdefault(layer, _Slot())
        built = slot.built  # read once: another thread may replace it
        if built is None or not built.holds(parameters, differentiable):
            built = slot.build(build, parameters, differentiable, prepare)
        if differentiable:
            return built.hand_out() if public else built.weight
        return built.values.clone() if public else built.values


# Without a wrapper around every uncompiled call: dynamo breaks its graph here and runs this as it is.
_read_opaque = not_compiled(CachedWeight._read)


class _Slot:
    """What is cached for one layer."""

    def __init__(self) -> None:
        self.built: _Built | None = None
        self._building = threading.Lock()

    def build(
        self, build: Build, parameters: Sequence[Tensor], differentiable: bool, prepare: Prepare | None
    ) -> "_Built":
        with self._building:
            built = self.built
            if built is None or not built.holds(parameters, differentiable):  # another thread may have been first
                self.built = built = None  # frees its memory for the new one
                self.built = built = _Built(build, parameters, differentiable, prepare)
            return built


class _Built:
    """A weight and what it was built from."""

    def __init__(
        self, build: Build, parameters: Sequence[Tensor], differentiable: bool, prepare: Prepare | None
    ) -> None:
        # Outside inference mode and autocast: the weight may be used later under autograd, and must be exact.
        with untransformed(), torch.inference_mode(False), _no_autocast(parameters[0].device.type):
            if prepare is not None:
                with torch.no_grad():
                    prepare(*parameters)
            # Before the parameters are read: an edit by another thread meanwhile is then seen at the next use.
            self._seen = [_Seen(parameter) for parameter in parameters]
            # The builder's own saved tensors are no business of hooks around the layer (activation checkpointing counts
            # and drops them).
            with torch.set_grad_enabled(differentiable), _no_saved_tensors_hooks(differentiable):
                self.weight = build(*parameters).contiguous()  # once here, not in every convolution
        self.values = self.weight.detach()
        self._handed_out: _Seen | None = None

    def holds(self, parameters: Sequence[Tensor], differentiable: bool) -> bool:
        """Whether building it again would give the same, with the same gradients where they are asked for."""
        if differentiable and not self.weight.requires_grad:
            return False
        for seen, parameter in zip(self._seen, parameters, strict=True):
            if (differentiable and seen.learned != parameter.requires_grad) or not seen.holds(parameter):
                return False
        return self._handed_out is None or self._handed_out.holds(self.weight)

    def hand_out(self) -> Tensor:
        """The weight itself, for a caller who may edit it."""
        if self._handed_out is None:
            self._handed_out = _Seen(self.weight)
        return self.weight


class _Seen:
    """A tensor as it was when it was looked at: to the bit, signs of zeros and NaN included."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._version, self._address = tensor, _version(tensor), tensor.data_ptr()
        self._dtype, self._shape, self._stride = tensor.dtype, tensor.shape, tensor.stride()
        self.learned = tensor.requires_grad
        self._copy = tensor.detach().clone()
        # A clone is dense: with equal strides the tensor too is one piece of memory, in the same order.
        one_piece = tensor.device.type == "cpu" and self._copy.stride() == self._stride
        alone = self._copy.nbytes < _LARGE or torch.get_num_threads() == 1
        self._compare = _memcmp if one_piece and alone else None
        self._copy_address, self._bytes = self._copy.data_ptr(), self._copy.nbytes

    def holds(self, tensor: Tensor) -> bool:
        if not (
            tensor is self._tensor
            and tensor.data_ptr() == self._address  # also: its storage has not been freed
            and _version(tensor) == self._version
            and tensor.dtype is self._dtype
            and tensor.shape == self._shape
            and tensor.stride() == self._stride
        ):
            return False
        if self._compare is None:
            return torch.equal(_integers(tensor), _integers(self._copy))
        return self._compare(self._address, self._copy_address, self._bytes) == 0


def _version(tensor: Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version  # inference tensors count none


def _integers(tensor: Tensor) -> Tensor:
    values = tensor.detach()
    if values.is_complex():
        values = torch.view_as_real(values)
    return values.view(_INTEGERS[values.element_size()])


_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


_LARGE = 2**20  # bytes, from which on it pays to share the comparison among torch's threads


def _find_memcmp() -> Callable[[int, int, int], int] | None:
    """C's ``memcmp``: on one thread torch's own comparison takes up to four times as long."""
    if sys.platform == "win32":
        return None
    function = ctypes.CDLL(None).memcmp
    function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t), ctypes.c_int
    return function


_memcmp = _find_memcmp()


def _no_autocast(device: str) -> AbstractContextManager:
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def _no_saved_tensors_hooks(differentiable: bool) -> AbstractContextManager:
    """Hooks that do nothing, where there are others; nowhere else: what an operation saves of its own outputs would
    hold on to itself, and never be freed.
    """
    forbidden = torch._C._autograd._saved_tensors_hooks_get_disabled_error_message() is not None  # by torch.func
    if forbidden or not differentiable or torch._C._autograd._top_saved_tensors_default_hooks(False) is None:
        return nullcontext()
    return torch.autograd.graph.saved_tensors_hooks(_as_it_is, _as_it_is)


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor
