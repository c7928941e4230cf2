"""Convolutions that keep the image size (divided by the stride), for odd and even kernels."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.sizes import Device, Padding, Size, check_dtype, check_same_padding, equal_sizes, whole_number
from lipnet.layers.tracing import runs_eagerly

_PADS = {"circular": nn.CircularPad2d, "zeros": nn.ZeroPad2d}
_MODES = {"circular": "circular", "zeros": "constant"}


def same_padding(kernel_size: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Pixels to add before and after each axis, so that the output is the input's size divided by the stride.

    Where the kernel is a multiple of the stride this is a pixel-unshuffle followed by a kernel of k = ``kernel_size /
    stride``, padded by ``k // 2`` before and ``(k - 1) // 2`` after, as in the paper's code.
    """
    total = max(0, dilation * (kernel_size - 1) + 1 - stride)
    step = stride * dilation
    after = total // (2 * step) * step
    return total - after, after


def check_stride(kernel_size: int, stride: int, layer: str) -> None:
    """Refuses kernels that do not go with a stride by a pixel-unshuffle."""
    if kernel_size % stride:
        raise ValueError(
            f"kernel_size {kernel_size} is not a multiple of stride {stride}: {layer} strides by a pixel-unshuffle, "
            f"which leaves a kernel of kernel_size / stride; use {stride * max(1, kernel_size // stride)}"
        )


def check_padding_mode(padding_mode: str, layer: str) -> None:
    """Refuses, with the reason, every padding under which a layer of norm 1 may have a larger one."""
    if padding_mode not in _PADS:
        raise ValueError(
            f"{layer} takes padding_mode 'circular' (orthogonal) or 'zeros' (1-Lipschitz), got {padding_mode!r}: "
            "reflecting or replicating pixels repeats some of them, which multiplies the Lipschitz constant by up to 2"
        )


def check_image(inputs: Tensor, channels: int, layer: nn.Module) -> None:
    """Refuses everything but ``(batch, channels, h, w)`` and ``(channels, h, w)``."""
    if inputs.dim() not in (3, 4) or inputs.shape[-3] != channels:
        raise RuntimeError(
            f"{layer} needs images of shape (batch, {channels}, h, w) or ({channels}, h, w), got {tuple(inputs.shape)}"
        )


def check_image_size(size: Sequence[int], before: int, stride: int, layer: object) -> None:
    """Refuses images that the stride does not divide or that the padding would wrap around more than once."""
    height, width = size
    if height % stride or width % stride:
        raise ValueError(f"{layer} needs an image size divisible by its stride {stride}, got {height}x{width}")
    if before > min(height, width):
        raise ValueError(f"{layer} pads by {before} pixels, more than an image of {height}x{width} has")


def same_conv2d(
    inputs: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int], padding_mode: str,
    stride: int, dilation: int, groups: int,
) -> Tensor:  # fmt: skip
    """Pads ``(batch, in, h, w)`` by (before, after) on both axes and convolves to ``(batch, out, h/s, w/s)``.

    One image, without the batch axis, is taken as ``functional.conv2d`` takes it.
    """
    if not runs_eagerly(inputs):
        return functional.conv2d(pad(inputs, padding, padding_mode), weight, bias, stride, 0, dilation, groups)
    if inputs.dim() == 3:
        return same_conv2d(inputs[None], weight, bias, padding, padding_mode, stride, dilation, groups)[0]
    padded = pad(inputs, padding, padding_mode)
    if padded.dtype is torch.float64 and (dilation, groups) == (1, 1) and _only_evaluates(padded, weight):
        return _row_products(padded, weight, bias, stride)
    if _is_attacked(padded, weight) and (dilation, groups) == (1, 1):
        return _OfGreyImages.apply(padded, weight, bias, stride)
    return functional.conv2d(padded, weight, bias, stride, 0, dilation, groups)


def _only_evaluates(inputs: Tensor, weight: Tensor) -> bool:
    learns = torch.is_grad_enabled() and (inputs.requires_grad or weight.requires_grad)
    fits = min(inputs.shape[-2:]) >= weight.shape[-1]  # torch's own says what is wrong where it does not
    return inputs.device.type == "cpu" and not learns and fits


def _is_attacked(inputs: Tensor, weight: Tensor) -> bool:
    """Whether the gradient is wanted of grey images, and not of weights."""
    wanted = torch.is_grad_enabled() and inputs.requires_grad and not weight.requires_grad
    return wanted and inputs.shape[1] == 1 and inputs.device.type == "cpu" and not torch.compiler.is_compiling()


class _OfGreyImages(torch.autograd.Function):
    """A convolution of one channel whose gradient is one matrix product; oneDNN takes four times as long for it."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.size, ctx.stride = padded.shape[-2:], stride
        return functional.conv2d(padded, weight, bias, stride)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        patches = weight.flatten(1).mT @ gradient.flatten(2)
        return functional.fold(patches, ctx.size, weight.shape[-2:], stride=ctx.stride), None, None, None


_AT_ONCE = 16  # images whose rows of patches are written down at once: they stay in the cache


def _row_products(padded: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """A convolution as a matrix product for each kernel row; torch's own in float64 on a CPU takes twice as long.

    With channels last, a row of a patch is one piece of memory; image rows are taken apart by their place in a stride.
    """
    out, channels, size, _ = weight.shape
    images = padded.permute(0, 2, 3, 1)
    rows = images.flatten(2).unfold(2, size * channels, stride * channels)
    batch, height, width = len(rows), (rows.shape[1] - size) // stride + 1, rows.shape[2]
    matrices = weight.permute(2, 3, 1, 0).reshape(size, 1, -1, out)
    outputs = padded.new_empty(batch, height * width, out)
    for part, result in zip(rows.split(_AT_ONCE), outputs.split(_AT_ONCE), strict=True):
        phases = [part[:, phase::stride].contiguous() for phase in range(stride)]
        for row, matrix in enumerate(matrices.expand(-1, len(part), -1, -1)):
            first = row // stride
            products = phases[row % stride][:, first : first + height].flatten(1, 2)
            torch.baddbmm(result, products, matrix, beta=min(row, 1), out=result)
    outputs = outputs if bias is None else outputs.add_(bias)
    return outputs.view(batch, height, width, out).permute(0, 3, 1, 2)


def pad(inputs: Tensor, padding: tuple[int, int], padding_mode: str) -> Tensor:
    """Pads ``(batch, channels, h, w)`` by (before, after) on both axes, in the layout that a convolution wants."""
    if not runs_eagerly(inputs):
        return functional.pad(inputs, padding * 2, _MODES[padding_mode]) if any(padding) else inputs
    if not any(padding):
        return inputs.contiguous(memory_format=_layout(inputs))
    if padding_mode == "zeros":
        return functional.pad(inputs, padding * 2).contiguous(memory_format=_layout(inputs))
    return _Wrap.apply(inputs, padding)


def _layout(inputs: Tensor) -> torch.memory_format:
    """The order in memory in which a convolution of these inputs is fastest: channels last on a CPU."""
    known = inputs.dtype in (torch.bfloat16, torch.float32, torch.float64)
    return torch.channels_last if inputs.device.type == "cpu" and known else torch.contiguous_format


class _Wrap(torch.autograd.Function):
    """Circular padding into the layout that the convolution wants.

    torch's own copies the images once more for the layout, and in the backward pass the whole gradient once for each of
    the four borders.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, padding: tuple[int, int]) -> Tensor:
        ctx.padding = padding
        before, after = padding
        *leading, height, width = inputs.shape
        size = (*leading, height + before + after, width + before + after)
        padded = torch.empty(size, dtype=inputs.dtype, device=inputs.device, memory_format=_layout(inputs))
        rows = padded.narrow(-2, before, height)
        rows.narrow(-1, before, width).copy_(inputs)
        _copy_borders(rows, before, after, -1)
        _copy_borders(padded, before, after, -2)
        return padded

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Unwrap.apply(gradient, ctx.padding), None


class _Unwrap(torch.autograd.Function):
    """The transpose of circular padding: what lies on the borders is added where it came from."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, padding: tuple[int, int]) -> Tensor:
        ctx.padding = padding
        columns = _fold(padded.clone(), *padding, -1)
        return _fold(columns, *padding, -2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Wrap.apply(gradient, ctx.padding), None


def _copy_borders(padded: Tensor, before: int, after: int, axis: int) -> None:
    """Fills both borders of an axis from the opposite ends of the inner part."""
    size = padded.shape[axis] - before - after
    padded.narrow(axis, 0, before).copy_(padded.narrow(axis, size, before))
    padded.narrow(axis, before + size, after).copy_(padded.narrow(axis, before, after))


def _fold(padded: Tensor, before: int, after: int, axis: int) -> Tensor:
    """The inner part, in place, with both borders added at the opposite ends."""
    size = padded.shape[axis] - before - after
    inner = padded.narrow(axis, before, size)
    inner.narrow(axis, size - before, before).add_(padded.narrow(axis, 0, before))
    inner.narrow(axis, 0, after).add_(padded.narrow(axis, before + size, after))
    return inner


class PaddedConv2d(nn.Sequential):
    """An unconstrained convolution behind its own padding layer: plain torch modules, same output size as BCOP's.

    It is the ``plain`` option of ``conv=``, and what ``to_plain`` turns a constrained convolution into.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation, groups, bias, device, dtype: as for ``nn.Conv2d``;
            square kernels.
        padding_mode: ``"circular"`` or ``"zeros"``.
        padding: ``"same"``, or the number of pixels that this is.

    Raises:
        ValueError: such a convolution does not exist, or an image is smaller than circular padding.
        RuntimeError: inputs that are not ``(batch, in_channels, h, w)`` or ``(in_channels, h, w)``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, dilation: Size = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "circular", *, padding: Padding = "same",
        device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        check_padding_mode(padding_mode, "PaddedConv2d")
        size, step, spread = (
            equal_sizes(value, name, "PaddedConv2d")
            for name, value in (("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation))
        )
        before, after = same_padding(size, step, spread)
        check_same_padding(padding, (before, after), "PaddedConv2d")
        check_dtype(dtype, "PaddedConv2d")
        inputs, outputs, parts = (
            whole_number(value, name, "PaddedConv2d")
            for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups))
        )
        super().__init__(
            _PADS[padding_mode]((before, after, before, after)),
            nn.Conv2d(inputs, outputs, size, step, 0, spread, parts, bias, device=device, dtype=dtype),
        )
        self.padding_mode = padding_mode

    @property
    def conv(self) -> nn.Conv2d:
        return cast(nn.Conv2d, self[1])

    @property
    def weight(self) -> Tensor:
        return self.conv.weight

    @property
    def bias(self) -> Tensor | None:
        return self.conv.bias

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels added before and after each axis."""
        before, after, *_ = cast(nn.ZeroPad2d, self[0]).padding
        return before, after

    def forward(self, inputs: Tensor) -> Tensor:
        """As the two modules one after the other, with the padding written where the convolution is fastest."""
        conv = self.conv
        if not runs_eagerly(inputs):
            return super().forward(inputs)
        self._check(inputs)
        stride, dilation = conv.stride[0], conv.dilation[0]
        return same_conv2d(
            inputs, conv.weight, conv.bias, self.padding, self.padding_mode, stride, dilation, conv.groups
        )

    def _check(self, inputs: Tensor) -> None:
        check_image(inputs, self.conv.in_channels, self.conv)
        if self.padding_mode == "circular":
            check_image_size(inputs.shape[-2:], self.padding[0], 1, self.conv)

    @torch.no_grad()
    def copy_from(self, weight: Tensor, bias: Tensor | None) -> "PaddedConv2d":
        self.conv.weight = nn.Parameter(weight.detach().clone())
        self.conv.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        return self
