"""Modules that move, leave out or repeat entries; none of them rounds."""

import math
from typing import Any

import torch
from torch import nn

from lipnet.certify.bound import Refusal, Shape, image_size, register_rule
from lipnet.certify.norm import EPS, up
from lipnet.certify.rounding import exact, register_step
from lipnet.layers.blocks.lipnext import ChannelShift
from lipnet.layers.learned_shuffle import LearnedShuffle
from lipnet.layers.shape import FitChannels, PixelUnshuffle
from lipnet.layers.shuffle import ChannelShuffle


@register_rule(
    ChannelShift,
    FitChannels,
    PixelUnshuffle,
    nn.ChannelShuffle,
    nn.Identity,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.Unflatten,
)
def _isometry(module: nn.Module, shape: Shape) -> float:
    return 1.0


@register_rule(ChannelShuffle)
def _shuffle(module: ChannelShuffle, shape: Shape) -> float:
    """1 of a permutation; what its buffers hold is looked at, since they may hold anything."""
    problem = module.problem()
    if problem is not None:
        raise Refusal(f"it needs {problem}")
    return 1.0


@register_rule(LearnedShuffle)
def _soft_shuffle(module: LearnedShuffle, shape: Shape) -> float:
    """Of the layer as it trains: ``|M|_2² <= |M|_1 |M|_inf``, the largest sums over a column and over a row."""
    if module.fixed or module.straight_through:
        return _shuffle(module.hardened(), shape)
    sizes = module.matrix.detach().double().abs().cpu()
    product = float(sizes.sum(0).max()) * float(sizes.sum(1).max())
    return up(math.sqrt(up(product * (1 + 4 * len(sizes) * EPS))))


@register_rule(nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d, nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d)
def _constants(module: Any, shape: Shape) -> float:
    """Negative padding leaves pixels out."""
    return 1.0 if math.isfinite(module.value) else math.inf


@register_rule(nn.Flatten)
def _flatten(module: nn.Flatten, shape: Shape) -> float:
    if module.start_dim in (0, -1 - len(shape)):
        raise Refusal("start_dim=0 merges the examples of a batch; use start_dim >= 1")
    return 1.0


@register_rule(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
def _dropout(module: Any, shape: Shape) -> float:
    if module.training and module.p > 0:
        raise Refusal("in training mode it is random; call .eval() first")
    return 1.0


_REPEATING = {
    nn.CircularPad1d: 1, nn.CircularPad2d: 2, nn.CircularPad3d: 3, nn.ReflectionPad1d: 1, nn.ReflectionPad2d: 2,
    nn.ReflectionPad3d: 3, nn.ReplicationPad1d: 1, nn.ReplicationPad2d: 2, nn.ReplicationPad3d: 3,
}  # fmt: skip


@register_rule(*_REPEATING)
def _repeated_borders(module: nn.Module, shape: Shape) -> float:
    image_size(shape, next(axes for kind, axes in _REPEATING.items() if isinstance(module, kind)))
    return copies(module, shape)


def copies(module: nn.Module, shape: Shape) -> float:
    """The root of how often the most repeated pixel is repeated: the copies of different pixels are orthogonal."""
    most = 1
    for dtype in (torch.float32, torch.float64):  # an up-sampling may round its places in either
        pixels = torch.arange(math.prod(shape[1:]), dtype=dtype).view(1, 1, *shape[1:])
        places = module(pixels).flatten().long()
        if bool(((places < 0) | (places >= pixels.numel())).any()):
            raise Refusal("it gives numbers that are no pixels of its input")
        most = max(most, int(torch.bincount(places).max()))
    return up(math.sqrt(most))


register_step(
    ChannelShift, ChannelShuffle, FitChannels, PixelUnshuffle, nn.ChannelShuffle, nn.CircularPad1d, nn.CircularPad2d,
    nn.CircularPad3d, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Flatten, nn.Identity, nn.PixelShuffle,
    nn.PixelUnshuffle, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d, nn.Unflatten,
    nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d,
)(exact)  # fmt: skip
