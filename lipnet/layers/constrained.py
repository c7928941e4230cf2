"""What the constrained layers share: geometry, bias, and a weight that is built once and kept."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.conv import check_image, check_padding_mode, same_conv2d, same_padding
from lipnet.layers.frequency import conv_operator
from lipnet.layers.kept import KeptWeight
from lipnet.layers.orthogonal import OrthogonalizationError


class Constrained(nn.Module):
    """A layer whose ``weight`` is built from free parameters: once a step, or until one of them changes.

    Attributes:
        builders: the methods that make ``weight``. A subclass may define them anew: whoever certifies or converts the
            layer reads what they make.
    """

    builders: ClassVar[frozenset[str]] = frozenset({"free_parameters", "build_weight", "build_evaluated"})

    def __init__(self) -> None:
        super().__init__()
        self._kept = KeptWeight()

    def free_parameters(self) -> Sequence[Tensor]:
        """The parameters that the weight is built from."""
        raise NotImplementedError

    def build_weight(self, *args: Any, **kwargs: Any) -> Tensor:
        """The weight for the free parameters, in their order; ``KeptWeight`` says what its backward pass must allow."""
        raise NotImplementedError

    @property
    def weight(self) -> Tensor:
        """The effective weight, of the shape of torch's own layer."""
        try:
            return self._kept.get(self.build_weight, self.free_parameters())
        except OrthogonalizationError as error:
            raise OrthogonalizationError(f"{self}: {error}") from error


class Estimated(Constrained):
    """Mixed into a layer that trains with a cheap estimate of its norm, and evaluates with its exact norm.

    ``weight`` is built in two ways: while training with gradients by ``build_weight``, for anything else by
    ``build_evaluated``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept_evaluated = KeptWeight()

    def build_evaluated(self, raw_weight: Tensor) -> Tensor:
        """The weight that is evaluated: a norm of at most 1, up to the rounding of its entries."""
        raise NotImplementedError

    @property
    def weight(self) -> Tensor:
        """The effective weight: in training with gradients the estimated one, otherwise the exact one."""
        if self.training and torch.is_grad_enabled():
            return super().weight
        with torch.no_grad():
            return self._kept_evaluated.get(self.build_evaluated, self.free_parameters())


class ConstrainedConv2d(Constrained):
    """A drop-in for ``nn.Conv2d`` with size-preserving padding, whose ``weight`` is built from free parameters.

    A subclass calls ``super().__init__``, creates its parameters, calls ``reset_parameters``, and has two methods:
    ``free_parameters()`` and ``build_weight(*parameters)``, a kernel of the shape of ``nn.Conv2d``'s.

    A stride is a pixel-unshuffle (an isometry) followed by a kernel of ``kernel_size / stride`` on ``stride²`` times
    the channels; the two are merged into one strided kernel.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation, groups, bias: as for ``nn.Conv2d``; square kernels;
            ``kernel_size`` a multiple of ``stride``; no stride together with dilation.
        padding: only ``"same"``: output size is input size divided by stride.
        padding_mode: ``"circular"`` or ``"zeros"``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: str = "same",
        dilation: int = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
    ) -> None:  # fmt: skip
        super().__init__()
        _check(type(self).__name__, in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        check_padding_mode(padding_mode, type(self).__name__)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        self.padding, self.padding_mode = same_padding(kernel_size, stride, dilation), padding_mode
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None

    def reset_parameters(self) -> None:
        """Draws the bias from ``±1/sqrt(out_channels)``; subclasses add their parameters."""
        if self.bias is not None:
            bound = 1 / math.sqrt(self.out_channels)
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, in_channels, h, w) -> (batch, out_channels, h / stride, w / stride)``."""
        check_image(inputs, self.padding[0], self.stride, self)
        return same_conv2d(
            inputs, self.weight, self.bias, self.padding, self.padding_mode, self.stride, self.dilation, self.groups
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
        image_size: height and width of the inputs.
        others: as for ``ConstrainedConv2d``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: str = "same",
        dilation: int = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
        image_size: tuple[int, int] = (32, 32),
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        self.image_size = image_size
        self.raw_weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, kernel_size, kernel_size))

    def reset_parameters(self) -> None:
        """As ``nn.Conv2d`` does."""
        nn.init.kaiming_uniform_(self.raw_weight, a=math.sqrt(5))
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_weight]

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, in_channels, h, w) -> (batch, out_channels, h / stride, w / stride)``; h, w as ``image_size``."""
        if tuple(inputs.shape[-2:]) != self.image_size:
            raise ValueError(f"{self} is 1-Lipschitz on images of {self.image_size}, got {tuple(inputs.shape[-2:])}")
        return super().forward(inputs)

    def exact_norm(self, kernel: Tensor) -> Tensor:
        """The kernel's norm as an operator on images of ``image_size`` (an upper bound for zero padding), float64."""
        blocks = conv_operator(
            kernel.detach().double(), self.image_size, self.stride, self.dilation, self.groups, self.padding_mode
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
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        if min(in_features, out_features) < 1:
            raise ValueError(f"{type(self).__name__} needs at least one feature, got {in_features} -> {out_features}")
        self.in_features, self.out_features = in_features, out_features
        self.raw_weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None

    def reset_parameters(self) -> None:
        """Draws the bias from ``±1/sqrt(in_features)``; subclasses fill ``raw_weight``."""
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            nn.init.uniform_(self.bias, -bound, bound)

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_weight]

    def forward(self, inputs: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        return functional.linear(inputs, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


def _check(
    layer: str,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int,
    padding: str,
    dilation: int,
    groups: int,
) -> None:
    sizes = {
        "in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size, "stride": stride,
        "dilation": dilation, "groups": groups,
    }  # fmt: skip
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{layer} needs {name} to be a whole number >= 1, got {size!r}")
    if padding != "same":
        raise ValueError(f"{layer} takes padding='same' only, got {padding!r}: any other loses or repeats pixels")
    if in_channels % groups or out_channels % groups:
        raise ValueError(f"channels {in_channels} -> {out_channels} cannot be split into {groups} groups")
    if kernel_size % stride:
        raise ValueError(
            f"kernel_size {kernel_size} is not a multiple of stride {stride}: {layer} strides by a pixel-unshuffle, "
            f"which leaves a kernel of kernel_size / stride; use {stride * max(1, kernel_size // stride)}"
        )
    if stride > 1 and dilation > 1:
        raise ValueError(f"stride {stride} and dilation {dilation} cannot be combined")
