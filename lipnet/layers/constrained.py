"""What the constrained layers share: geometry, bias, and a weight that is built once and cached."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lipnet.layers.cached import Build, CachedWeight, Prepare
from lipnet.layers.given import given_weight
from lipnet.layers.orthogonal import OrthogonalizationError
from lipnet.layers.sizes import (
    LOW_PRECISION,
)


class Constrained(nn.Module):
    """A layer whose ``weight`` is built from free parameters: once a step, or until one of them changes.

    Attributes:
        builders: the methods that make ``weight``. A subclass may define them anew: whoever certifies or converts the
            layer reads what they make.
    """

    builders: ClassVar[frozenset[str]] = frozenset(
        {"free_parameters", "prepare_build", "build_weight", "build_evaluated"}
    )

    _cached = CachedWeight()
    caches: tuple[CachedWeight, ...] = (_cached,)

    def free_parameters(self) -> Sequence[Tensor]:
        """The parameters that the weight is built from."""
        raise NotImplementedError

    def prepare_build(self, *args: Any, **kwargs: Any) -> None:
        """Changes the free parameters, where a layer does, before a weight for training is built from them.

        Once for each weight that is cached, without gradients; not within a transform of ``torch.func``.
        """

    def build_weight(self, *args: Any, **kwargs: Any) -> Tensor:
        """The weight for the free parameters, in their order, which it leaves as they are.

        ``CachedWeight`` says what its backward pass must allow.
        """
        raise NotImplementedError

    @property
    def weight(self) -> Tensor:
        """The effective weight, of the shape of torch's own layer. The layer never sees edits of it.

        In float16 and bfloat16 it is built in float32 and rounded; on the meta device it has a shape and no values.
        """
        return self.effective_weight(public=True)

    def effective_weight(self, public: bool = False) -> Tensor:
        """``weight``, for the layer's own use: the cached tensor itself unless ``public``."""
        return self._read(self._cached, self.build_weight, self.prepare_build, public)

    def weight_shape(self) -> tuple[int, ...]:
        """The shape of ``weight``."""
        raise NotImplementedError

    def _read(self, cache: CachedWeight, build: Build, prepare: Prepare | None, public: bool) -> Tensor:
        given = given_weight(self)
        if given is not None:
            return given
        parameters = self.free_parameters()
        if parameters[0].is_meta:
            values = sum(parameter.sum() for parameter in parameters)  # so that a backward pass reaches them all
            return values * parameters[0].new_empty(self.weight_shape())
        if parameters[0].dtype in LOW_PRECISION:
            build = _in_float32(build)
        try:
            return cache.get(self, build, parameters, prepare, public)
        except OrthogonalizationError as error:
            raise OrthogonalizationError(f"{self}: {error}") from error

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name != "training":  # the weight depends on strides, image sizes and maps as well
            for cache in self.caches:
                cache.forget(self)


def _in_float32(build: Build) -> Build:
    """A weight in low precision, computed in float32: the maps need its digits."""

    def built(*parameters: Tensor) -> Tensor:
        return build(*(parameter.float() for parameter in parameters)).to(parameters[0].dtype)

    return built


class Estimated(Constrained):
    """Mixed into a layer that trains with a cheap estimate of its norm, and evaluates with its exact norm.

    ``weight`` is built in two ways: while training with gradients by ``build_weight``, for anything else by
    ``build_evaluated``. The latter carries gradients within ``torch.func`` alone.
    """

    _cached_evaluated = CachedWeight(differentiable=False)
    caches = (*Constrained.caches, _cached_evaluated)

    def build_evaluated(self, raw_weight: Tensor) -> Tensor:
        """The weight that is evaluated: a norm of at most 1, up to the rounding of its entries."""
        raise NotImplementedError

    def effective_weight(self, public: bool = False) -> Tensor:
        """The estimated weight in training with gradients, otherwise the exact one."""
        if self.training and torch.is_grad_enabled():
            return super().effective_weight(public)
        return self._read(self._cached_evaluated, self.build_evaluated, None, public)
