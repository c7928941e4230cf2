"""What the constrained layers share: geometry, bias, and a weight that is built once and cached."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.cached import Build, CachedWeight, Prepare
from lipnet.layers.conv import check_image, check_image_size, check_padding_mode, same_conv2d, same_padding
from lipnet.layers.frequency import conv_operator
from lipnet.layers.orthogonal import OrthogonalizationError
from lipnet.layers.sizes import (
    LOW_PRECISION,
    Device,
    Padding,
    Size,
    check_dtype,
    check_same_padding,
    equal_sizes,
    image_sides,
    whole_number,
)
from lipnet.layers.tracing import shape_is_known


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
        """In training with gradients the estimated weight, otherwise the exact one."""
        if self.training and torch.is_grad_enabled():
            return super().effective_weight(public)
        return self._read(self._cached_evaluated, self.build_evaluated, None, public)


class ConstrainedConv2d(Constrained):
    """A drop-in for ``nn.Conv2d`` with size-preserving padding, whose ``weight`` is built from free parameters.

    A subclass calls ``super().__init__``, creates its parameters, calls ``reset_parameters``, and has two methods:
    ``free_parameters()`` and ``build_weight(*parameters)``, a kernel of the shape of ``nn.Conv2d``'s.

    A stride is a pixel-unshuffle (an isometry) followed by a kernel of ``kernel_size / stride`` on ``stride²`` times
    the channels; the two are merged into one strided kernel.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation, groups, bias, device, dtype: as for ``nn.Conv2d``;
            square kernels; ``kernel_size`` a multiple of ``stride``; no stride together with dilation.
        padding: only ``"same"``, or the number of pixels that this is: output size is input size divided by stride.
        padding_mode: ``"circular"`` or ``"zeros"``.

    Raises:
        ValueError: such a layer does not exist, or the stride does not divide an image, or it is smaller than padding.
        RuntimeError: inputs that are not ``(batch, in_channels, h, w)`` or ``(in_channels, h, w)``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = "same",
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
        device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        layer = type(self).__name__
        self.in_channels = whole_number(in_channels, "in_channels", layer)
        self.out_channels = whole_number(out_channels, "out_channels", layer)
        self.kernel_size = equal_sizes(kernel_size, "kernel_size", layer)
        self.stride = equal_sizes(stride, "stride", layer)
        self.dilation = equal_sizes(dilation, "dilation", layer)
        self.groups = whole_number(groups, "groups", layer)
        self.padding, self.padding_mode = same_padding(self.kernel_size, self.stride, self.dilation), padding_mode
        check_same_padding(padding, self.padding, layer)
        check_padding_mode(padding_mode, layer)
        check_dtype(dtype, layer)
        self._check_geometry()
        self.bias = nn.Parameter(torch.empty(self.out_channels, device=device, dtype=dtype)) if bias else None

    def _check_geometry(self) -> None:
        layer, size, stride = type(self).__name__, self.kernel_size, self.stride
        if self.in_channels % self.groups or self.out_channels % self.groups:
            channels = f"{self.in_channels} -> {self.out_channels}"
            raise ValueError(f"channels {channels} cannot be split into {self.groups} groups")
        if size % stride:
            raise ValueError(
                f"kernel_size {size} is not a multiple of stride {stride}: {layer} strides by a pixel-unshuffle, "
                f"which leaves a kernel of kernel_size / stride; use {stride * max(1, size // stride)}"
            )
        if stride > 1 and self.dilation > 1:
            raise ValueError(f"stride {stride} and dilation {self.dilation} cannot be combined")

    def weight_shape(self) -> tuple[int, ...]:
        return self.out_channels, self.in_channels // self.groups, self.kernel_size, self.kernel_size

    def reset_parameters(self) -> None:
        """Draws the bias from ``±1/sqrt(out_channels)``; subclasses add their parameters."""
        if self.bias is not None:
            bound = 1 / math.sqrt(self.out_channels)
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, in_channels, h, w) -> (batch, out_channels, h / stride, w / stride)``, or without the batch."""
        if shape_is_known(inputs):
            check_image(inputs, self.in_channels, self)
            check_image_size(inputs.shape[-2:], self.padding[0], self.stride, self)
        weight = self.effective_weight()
        return same_conv2d(
            inputs, weight, self.bias, self.padding, self.padding_mode, self.stride, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        shown = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        for name, usual in (("stride", 1), ("dilation", 1), ("groups", 1), ("padding_mode", "circular")):
            value = getattr(self, name)
            shown += "" if value == usual else f", {name}={value}"
        return shown if self.bias is not None else f"{shown}, bias=False"


class EstimatedConv2d(Estimated, ConstrainedConv2d):
    """A convolution that trains with a cheap estimate of its norm, and evaluates with its exact norm.

    ``weight`` is built from ``raw_weight``, of its own shape, in two ways: while training with gradients by
    ``build_weight``, for anything else by ``build_evaluated``, whose norm is at most 1 on images of ``image_size``.

    Args:
        image_size: height and width of the inputs, or one number for both.
        others: as for ``ConstrainedConv2d``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = "same",
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
        image_size: Size = (32, 32), device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.image_size = image_sides(image_size, type(self).__name__)
        check_image_size(self.image_size, self.padding[0], self.stride, type(self).__name__)
        self.raw_weight = nn.Parameter(torch.empty(self.weight_shape(), device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """As ``nn.Conv2d`` does."""
        nn.init.kaiming_uniform_(self.raw_weight, a=math.sqrt(5))
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_weight]

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, in_channels, h, w) -> (batch, out_channels, h / stride, w / stride)``; h, w as ``image_size``."""
        if shape_is_known(inputs) and tuple(inputs.shape[-2:]) != self.image_size:
            raise ValueError(f"{self} is 1-Lipschitz on images of {self.image_size}, got {tuple(inputs.shape[-2:])}")
        return super().forward(inputs)

    def exact_norm(self, kernel: Tensor) -> Tensor:
        """The kernel's norm as an operator on images of ``image_size`` (an upper bound for zero padding), float64."""
        return self._norm(kernel.detach())

    def _norm(self, kernel: Tensor) -> Tensor:
        blocks = conv_operator(
            kernel.double(), self.image_size, self.stride, self.dilation, self.groups, self.padding_mode
        )
        return torch.linalg.matrix_norm(blocks, ord=2).amax()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, image_size={self.image_size}"


class ConstrainedLinear(Constrained):
    """A drop-in for ``nn.Linear``, whose ``weight`` is built from a free matrix of its own shape.

    A subclass calls ``super().__init__`` and ``reset_parameters``, which fills ``raw_weight``, and has
    ``build_weight(raw_weight)``.

    Args:
        in_features, out_features: sizes of the last dimension of input and output.
        bias: adds a learned bias.
        device, dtype: of the parameters, as for ``nn.Linear``.

    Raises:
        ValueError: such a layer does not exist.
        RuntimeError: inputs with another number of features.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        layer = type(self).__name__
        self.in_features = whole_number(in_features, "in_features", layer)
        self.out_features = whole_number(out_features, "out_features", layer)
        check_dtype(dtype, layer)
        self.raw_weight = nn.Parameter(torch.empty(self.weight_shape(), device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(self.out_features, device=device, dtype=dtype)) if bias else None

    def weight_shape(self) -> tuple[int, ...]:
        return self.out_features, self.in_features

    def reset_parameters(self) -> None:
        """Draws the bias from ``±1/sqrt(in_features)``; subclasses fill ``raw_weight``."""
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            nn.init.uniform_(self.bias, -bound, bound)

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_weight]

    def forward(self, inputs: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        self.check_features(inputs)
        return functional.linear(inputs, self.effective_weight(), self.bias)

    def check_features(self, inputs: Tensor) -> None:
        """Refuses inputs with another last dimension."""
        if shape_is_known(inputs) and (inputs.dim() == 0 or inputs.shape[-1] != self.in_features):
            raise RuntimeError(f"{self} needs inputs of shape (..., {self.in_features}), got {tuple(inputs.shape)}")

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")
