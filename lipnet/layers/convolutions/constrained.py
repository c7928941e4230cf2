"""What constrained convolutions share: geometry, bias and a cached kernel."""

import math

import torch
from torch import Tensor, nn

from lipnet.layers.constrained import Constrained, Estimated
from lipnet.layers.convolutions.padded import (
    check_image,
    check_image_size,
    check_padding_mode,
    check_stride,
    same_conv2d,
    same_padding,
)
from lipnet.layers.frequency import conv_operator
from lipnet.layers.sizes import (
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
        stride = self.stride
        if self.in_channels % self.groups or self.out_channels % self.groups:
            channels = f"{self.in_channels} -> {self.out_channels}"
            raise ValueError(f"channels {channels} cannot be split into {self.groups} groups")
        self.check_stride()
        if stride > 1 and self.dilation > 1:
            raise ValueError(f"stride {stride} and dilation {self.dilation} cannot be combined")

    def check_stride(self) -> None:
        """Refuses kernels that do not go with the stride."""
        check_stride(self.kernel_size, self.stride, type(self).__name__)

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


class SizedConv2d(ConstrainedConv2d):
    """A convolution whose norm is at most 1 on images of ``image_size``; it refuses others.

    ``weight`` is built from ``raw_weight``, of its own shape.

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
            kernel.double(), self.image_size, self.stride, self.dilation, self.groups, self.padding_mode, distinct=True
        )
        return torch.linalg.matrix_norm(blocks, ord=2).amax()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, image_size={self.image_size}"


class EstimatedConv2d(Estimated, SizedConv2d):
    """A convolution that trains with a cheap estimate of its norm, and evaluates with its exact norm.

    ``weight`` is built in two ways: while training with gradients by ``build_weight``, for anything else by
    ``build_evaluated``, whose norm is at most 1 on images of ``image_size``.

    Args:
        all: as for ``SizedConv2d``.
    """
