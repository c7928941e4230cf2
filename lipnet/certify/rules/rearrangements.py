"""Modules that move, leave out or repeat entries."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lipnet.certify.bound import Refusal, Shape, register_rule
from lipnet.certify.norm import EPS, norm_bound, up
from lipnet.layers import PixelUnshuffle


@register_rule(
    PixelUnshuffle, nn.ChannelShuffle, nn.Identity, nn.PixelShuffle, nn.PixelUnshuffle, nn.Unflatten,
    nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d, nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d,
)  # fmt: skip
def _isometry(module: nn.Module, shape: Shape) -> float:
    return 1.0


@register_rule(nn.Flatten)
def _flatten(module: nn.Flatten, shape: Shape) -> float:
    if module.start_dim == 0:
        raise Refusal("start_dim=0 merges the examples of a batch; use start_dim >= 1")
    return 1.0


@register_rule(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
def _dropout(module: Any, shape: Shape) -> float:
    if module.training and module.p > 0:
        raise Refusal("in training mode it is random; call .eval() first")
    return 1.0


@register_rule(
    nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d,
    nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d,
)  # fmt: skip
def _copies(module: nn.Module, shape: Shape) -> float:
    """The root of how often the most repeated pixel is repeated: the copies of different pixels are orthogonal."""
    most = 1
    for dtype in (torch.float32, torch.float64):  # an up-sampling may round its places in either
        pixels = torch.arange(math.prod(shape[1:]), dtype=dtype).view(1, 1, *shape[1:])
        most = max(most, int(torch.bincount(module(pixels).flatten().long()).max()))
    return up(math.sqrt(most))


@register_rule(nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d)
def _upsample(module: nn.Upsample, shape: Shape) -> float:
    """Copies for the nearest neighbours; interpolations act on one axis after the other: their norms multiply."""
    if module.mode in ("nearest", "nearest-exact"):
        return _copies(module, shape)
    bound, axes = 1.0, shape[1:]
    sizes = module.size if isinstance(module.size, tuple) else (module.size,) * len(axes)
    factors = module.scale_factor if isinstance(module.scale_factor, tuple) else (module.scale_factor,) * len(axes)
    for pixels, size, factor in zip(axes, sizes, factors, strict=True):
        matrix = functional.interpolate(
            torch.eye(pixels, dtype=torch.float64)[:, None, :, None],
            None if size is None else (int(size), 1),
            None if factor is None else (float(factor), 1.0),
            "bicubic" if module.mode == "bicubic" else "bilinear",
            module.align_corners,
            module.recompute_scale_factor,
        )[:, 0, :, 0]
        error = 64 * EPS * pixels * float(torch.linalg.matrix_norm(matrix))
        bound = up(bound * norm_bound(matrix, error))
    return bound
