"""An effective weight that is built once, kept, and never stale."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class KeptWeight:
    """Keeps ``build(*parameters)`` until a parameter changes.

    While gradients are needed the weight is built once per optimizer step, however often it is asked for; otherwise
    once until anything changes a parameter. A change is seen by the parameter's identity, storage, dtype and version,
    and, because fused optimizers and edits through ``.data`` move none of these, by a fingerprint of its values.
    Copies of a layer start with nothing kept.

    Two losses that share a kept weight (real and generated batches, accumulated gradients) each run backward through
    it, so ``build`` must allow more than one backward pass: it is made of views and of functions that keep what they
    need in attributes of their context, not with ``save_for_backward``, which autograd frees after the first.
    """

    def __init__(self) -> None:
        self._weight: Tensor | None = None
        self._seen: list[_Seen] = []

    @torch.compiler.disable
    def get(self, build: Callable[..., Tensor], parameters: Sequence[Tensor]) -> Tensor:
        """The weight for the parameters' present values; it carries gradients where autograd is recording."""
        differentiable = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters)
        if (
            self._weight is None
            or differentiable > self._weight.requires_grad
            or self._changed(parameters, differentiable)
        ):
            self._weight = _build(build, parameters, differentiable)
            self._seen = [_Seen(parameter) for parameter in parameters]
        return self._weight if differentiable else self._weight.detach()

    def _changed(self, parameters: Sequence[Tensor], differentiable: bool) -> bool:
        pairs = list(zip(self._seen, parameters, strict=True))
        frozen = differentiable and any(seen.learned != parameter.requires_grad for seen, parameter in pairs)
        return frozen or not all(seen.holds(parameter) for seen, parameter in pairs)

    def __deepcopy__(self, memo: dict) -> "KeptWeight":
        return KeptWeight()

    def __reduce__(self) -> tuple:
        return KeptWeight, ()


class _Seen:
    """What a parameter looked like when the weight was built from it."""

    def __init__(self, parameter: Tensor) -> None:
        self.parameter = parameter
        self.alias = parameter.detach()  # keeps the storage alive, so that its address cannot be reused unseen
        self.version = _version(parameter)
        self.learned = parameter.requires_grad
        self.fingerprint = _fingerprint(self.alias)

    def holds(self, parameter: Tensor) -> bool:
        return (
            parameter is self.parameter
            and _version(parameter) == self.version
            and parameter.data_ptr() == self.alias.data_ptr()
            and parameter.dtype == self.alias.dtype
            and torch.equal(_fingerprint(parameter.detach()), self.fingerprint)
        )


def _version(parameter: Tensor) -> int | None:
    return None if parameter.is_inference() else parameter._version  # inference tensors count none


def _fingerprint(values: Tensor) -> Tensor:
    """Every row's product with one fixed vector: any change that is not lost in rounding changes it."""
    if values.numel() == 0:
        return values
    columns = values.shape[-1]
    with torch.autocast(values.device.type, enabled=False):
        return values.reshape(-1, columns) @ _weights(columns, values.dtype, values.device)


@functools.lru_cache(maxsize=256)
def _weights(columns: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.arange(1, columns + 1, dtype=dtype, device=device).mul_(0.7548776662).frac_()


def _build(build: Callable[..., Tensor], parameters: Sequence[Tensor], differentiable: bool) -> Tensor:
    # Outside inference mode and autocast: the weight may be used later under autograd, and must be exact. The builder's
    # own saved tensors are no business of hooks around the layer (activation checkpointing counts and drops them).
    with torch.inference_mode(False), torch.autocast(parameters[0].device.type, enabled=False):
        if differentiable:
            with torch.autograd.graph.saved_tensors_hooks(_as_it_is, _as_it_is):
                return build(*parameters).contiguous()
        with torch.no_grad():
            return build(*parameters).contiguous()  # once here, not in every convolution


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor
