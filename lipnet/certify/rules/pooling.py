"""Pooling: averages are linear maps, one axis after the other; maxima of disjoint windows are 1-Lipschitz."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.certify.bound import Refusal, Shape, image_size, lipschitz_bound, output_shape, register_rule
from lipnet.certify.norm import EPS, norm_bound, up
from lipnet.certify.rounding import Step, exact, gamma, register_step

_AXES = {
    nn.AvgPool1d: 1, nn.AvgPool2d: 2, nn.AvgPool3d: 3, nn.AdaptiveAvgPool1d: 1, nn.AdaptiveAvgPool2d: 2,
    nn.AdaptiveAvgPool3d: 3, nn.MaxPool1d: 1, nn.MaxPool2d: 2, nn.MaxPool3d: 3, nn.AdaptiveMaxPool1d: 1,
    nn.AdaptiveMaxPool2d: 2, nn.AdaptiveMaxPool3d: 3,
}  # fmt: skip


def _size(module: nn.Module, shape: Shape) -> Shape:
    return image_size(shape, next(axes for kind, axes in _AXES.items() if isinstance(module, kind)))


def _each(value: Any, count: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * count


@register_rule(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
def _average(module: Any, shape: Shape) -> float:
    axes = _size(module, shape)
    options = [_each(value, len(axes)) for value in (module.kernel_size, module.stride, module.padding)]
    divisor = getattr(module, "divisor_override", None)
    bound = 1.0 if divisor is None else up(1 / abs(divisor))
    for pixels, kernel, stride, padding in zip(axes, *options, strict=True):
        basis = torch.eye(pixels, dtype=torch.float64)[:, None, :, None]
        matrix = functional.avg_pool2d(
            basis, (kernel, 1), (stride, 1), (padding, 0), module.ceil_mode, module.count_include_pad,
            None if divisor is None else 1,
        )  # fmt: skip
        bound = up(bound * _matrix_bound(matrix))
    return bound


@register_rule(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
def _adaptive_average(module: Any, shape: Shape) -> float:
    bound = 1.0
    axes = _size(module, shape)
    for pixels, size in zip(axes, _each(module.output_size, len(axes)), strict=True):
        basis = torch.eye(pixels, dtype=torch.float64)[:, None, :, None]
        bound = up(bound * _matrix_bound(functional.adaptive_avg_pool2d(basis, (size, 1))))
    return bound


def _matrix_bound(images: Tensor) -> float:
    matrix = images[:, 0, :, 0]
    return norm_bound(matrix, 4 * EPS * float(torch.linalg.matrix_norm(matrix)))


@register_step(
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d
)
def _average_step(module: nn.Module, shape: Shape, precision: torch.finfo) -> Step:
    terms, lipschitz = math.prod(shape[1:]), lipschitz_bound(module, shape)  # no window has more pixels than the image
    sums = max(lipschitz, 1.0) * terms  # of a window, before the division, which may be by more than its pixels
    lost = 2 * terms * math.sqrt(math.prod(output_shape(module, shape))) * precision.tiny
    return Step(0.0, gamma(terms + 2, precision) * lipschitz + lost, lost, gain=sums)


@register_rule(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
def _maximum(module: Any, shape: Shape) -> float:
    axes = len(_size(module, shape))
    options = [_each(value, axes) for value in (module.kernel_size, module.stride, module.dilation)]
    if module.return_indices:
        raise Refusal("return_indices=True returns more than the maxima; use return_indices=False")
    for kernel, stride, dilation in zip(*options, strict=True):
        if dilation * (kernel - 1) + 1 > stride:
            raise Refusal(
                f"its windows overlap (kernel_size {kernel}, stride {stride}, dilation {dilation}), so that a pixel "
                "may count several times; use a stride of at least the window's size"
            )
    return 1.0


@register_rule(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
def _adaptive_maximum(module: Any, shape: Shape) -> float:
    if module.return_indices:
        raise Refusal("return_indices=True returns more than the maxima; use return_indices=False")
    axes = _size(module, shape)
    for pixels, size in zip(axes, _each(module.output_size, len(axes)), strict=True):
        if size is not None and pixels % size:
            raise Refusal(f"its windows overlap where {pixels} pixels become {size}; use a size that divides them")
    return 1.0


register_step(
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d
)(exact)
