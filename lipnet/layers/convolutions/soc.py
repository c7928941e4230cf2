"""Skew orthogonal convolutions (SOC): Singla & Feizi, ICML 2021, arXiv 2105.11417."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.constrained import Constrained
from lipnet.layers.convolutions.padded import (
    check_image,
    check_image_size,
    check_padding_mode,
    check_stride,
    same_conv2d,
    same_padding,
)
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.scale import binary_scale
from lipnet.layers.sizes import Device, Padding, Size, check_dtype, check_same_padding, equal_sizes, whole_number
from lipnet.layers.tracing import shape_is_known

_NORM = 2.0  # what the bound on the skew convolution's norm is made


class SkewExponential(nn.Module):
    """``Σ Sʲ x / j!`` for j below ``terms``: the exponential of a convolution S, cut off, with a fixed kernel.

    It is what ``to_plain`` turns a ``SOCConv2d`` into. Where S is skew-symmetric, as a kernel is that changes its sign
    when it is turned round and its channels are exchanged, the exponential is orthogonal, with circular padding and
    with zeros, and what is cut off has a norm of at most ``|S|^terms / terms!``.

    Args:
        in_channels, out_channels: missing inputs are zeros, and further outputs are left out.
        kernel: ``(c, c, k, k)`` with odd k, ``c`` at least ``in_channels·stride²`` and ``out_channels``.
        terms: of the series, the identity among them.
        stride: of the pixel-unshuffle that comes first.
        padding_mode: ``"circular"`` or ``"zeros"``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: Tensor, bias: Tensor | None, terms: int, stride: int = 1,
        padding_mode: str = "circular",
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_channels, self.out_channels, self.stride, self.terms = in_channels, out_channels, stride, terms
        self.padding_mode = padding_mode
        self.weight = nn.Parameter(kernel.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, in_channels, h, w) -> (batch, out_channels, h / stride, w / stride)``, or without the batch."""
        if shape_is_known(inputs):
            _check(inputs, self.in_channels, self.stride, self.weight.shape[-1], self)
        return skew_exponential(
            inputs, self.weight, self.bias, self.terms, self.stride, self.out_channels, self.padding_mode
        )

    def extra_repr(self) -> str:
        size = self.weight.shape[-1]
        return f"{self.in_channels}, {self.out_channels}, kernel_size={size}, stride={self.stride}, terms={self.terms}"


class SOCConv2d(Constrained):
    """An orthogonal convolution as the exponential of a skew-symmetric one, a drop-in for ``nn.Conv2d``.

    ``exp(S) x = x + S x + S² x / 2 + ...`` is cut off after ``terms``, each of which is one convolution of the images:
    singular values are 1 up to ``|S|^terms / terms!``, with circular padding and with zeros. That is counted into the
    certificate, for the terms that are evaluated. A stride is a pixel-unshuffle; where the numbers of channels differ,
    zeros are added to the inputs or outputs are left out.

    Args:
        kernel_size: a multiple of the stride.
        terms: in evaluation; with 14, singular values are within 2e-7 of 1.
        training_terms: in training, where fewer suffice for the gradient.
        in_channels, out_channels, stride, bias, padding_mode, device, dtype: as for ``ConstrainedConv2d``.

    ``weight`` is the kernel of S, ``(c, c, k, k)`` with ``c = max(in·s², out)``, and k the free kernel's size or, as
    there is no middle in an even one, one more. It is the free kernel's skew part, divided by half of a bound on its
    norm. ``raw_weight``, the learned free kernel, starts normal with variance ``1 / c``.
    """

    bounded_by_one = False  # its weight, that of S; and its series ends early while it trains

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = "same",
        bias: bool = True, padding_mode: str = "circular", terms: int = 14, training_terms: int = 6,
        device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        layer = type(self).__name__
        self.in_channels = whole_number(in_channels, "in_channels", layer)
        self.out_channels = whole_number(out_channels, "out_channels", layer)
        self.kernel_size = equal_sizes(kernel_size, "kernel_size", layer)
        self.stride = equal_sizes(stride, "stride", layer)
        self.terms = whole_number(terms, "terms", layer)
        self.training_terms = whole_number(training_terms, "training_terms", layer)
        check_stride(self.kernel_size, self.stride, layer)
        check_same_padding(padding, same_padding(self.kernel_size, self.stride), layer)
        check_padding_mode(padding_mode, layer)
        check_dtype(dtype, layer)
        self.padding_mode = padding_mode
        widest, taps = max(self.in_channels * self.stride**2, self.out_channels), self.kernel_size // self.stride
        self.raw_weight = nn.Parameter(torch.empty(widest, widest, taps, taps, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(self.out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.raw_weight, std=1 / math.sqrt(len(self.raw_weight)))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.out_channels)
            nn.init.uniform_(self.bias, -bound, bound)

    def weight_shape(self) -> tuple[int, ...]:
        channels, _, taps, _ = self.raw_weight.shape
        return channels, channels, taps // 2 * 2 + 1, taps // 2 * 2 + 1

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_weight]

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return apply_map(skew_kernel, raw_weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, in_channels, h, w) -> (batch, out_channels, h / stride, w / stride)``, or without the batch."""
        if shape_is_known(inputs):
            _check(inputs, self.in_channels, self.stride, self.weight_shape()[-1], self)
        terms = self.training_terms if self.training else self.terms
        return skew_exponential(
            inputs, self.effective_weight(), self.bias, terms, self.stride, self.out_channels, self.padding_mode
        )

    def extra_repr(self) -> str:
        shown = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        for name, usual in (("stride", 1), ("padding_mode", "circular"), ("terms", 14), ("training_terms", 6)):
            value = getattr(self, name)
            shown += "" if value == usual else f", {name}={value}"
        return shown if self.bias is not None else f"{shown}, bias=False"


def skew_kernel(raw: Tensor) -> Tensor:
    """The skew part of a kernel, of odd size, divided by half of a bound on its norm.

    As a matrix ``W``, ``c x (c · k²)``, it has a norm of at most ``sqrt(min(|W Wᵀ|_inf, |Wᵀ W|_inf))``, and as a
    convolution of at most k times that. It is skew to the last bit: differences and products change sign exactly.
    """
    even = 1 - raw.shape[-1] % 2
    raw = functional.pad(raw, (0, even, 0, even))
    raw = raw / binary_scale(raw, (0, 1, 2, 3))
    skew = (raw - raw.flip(-2, -1).transpose(0, 1)) / 2
    matrix = skew.flatten(1)
    rows, columns = (gram.abs().sum(-1).amax() for gram in (matrix @ matrix.mT, matrix.mT @ matrix))
    norm = raw.shape[-1] * torch.minimum(rows, columns).clamp_min(torch.finfo(raw.dtype).tiny).sqrt()
    return skew * (_NORM / norm)


def skew_exponential(
    inputs: Tensor, kernel: Tensor, bias: Tensor | None, terms: int, stride: int, outputs: int, padding_mode: str
) -> Tensor:
    """``Σ Sʲ x / j!`` over j below ``terms``, behind a pixel-unshuffle and zeros for missing channels."""
    images = functional.pixel_unshuffle(inputs, stride) if stride > 1 else inputs
    missing, reach = len(kernel) - images.shape[-3], kernel.shape[-1] // 2
    term = functional.pad(images, (0, 0, 0, 0, 0, missing)) if missing else images
    total = term
    for number in range(1, terms):
        term = same_conv2d(term, kernel, None, (reach, reach), padding_mode, 1, 1, 1) / number
        total = total + term
    total = total.narrow(-3, 0, outputs)
    return total if bias is None else total + bias[:, None, None]


def _check(inputs: Tensor, channels: int, stride: int, size: int, layer: nn.Module) -> None:
    check_image(inputs, channels, layer)
    check_image_size(inputs.shape[-2:], size // 2 * stride, stride, layer)
