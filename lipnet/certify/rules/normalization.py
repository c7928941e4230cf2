"""Scalings: fixed, or learned and fixed in evaluation."""

import math
from typing import Any

from torch import nn

from lipnet.certify.bound import Refusal, Shape, register_rule
from lipnet.certify.norm import EPS, up
from lipnet.layers import Normalize, Scale


@register_rule(Normalize)
def _normalize(module: Normalize, shape: Shape) -> float:
    if len(shape) != 3 or module.std.shape[0] not in (1, shape[0]):
        raise Refusal(f"it takes images (channels, height, width) of {len(module.std)} channels, got {shape}")
    smallest = float(module.std.double().abs().min())
    return up(1 / smallest) if smallest > 0 else math.inf


@register_rule(Scale)
def _scale(module: Scale, shape: Shape) -> float:
    if not isinstance(module.factor, int | float):
        raise Refusal(f"its factor is a {type(module.factor).__name__}; use a number")
    return abs(float(module.factor))


@register_rule(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
def _batch_norm(module: Any, shape: Shape) -> float:
    """``max |γ| / sqrt(running variance + eps)``."""
    if module.training or module.running_var is None or module.running_mean is None:
        raise Refusal(
            "it divides by the batch's own deviations, so an example's output depends on the others'; "
            + ("call .eval() first" if module.running_var is not None else "use track_running_stats=True")
        )
    if not bool((module.running_var >= 0).all()) or not module.eps >= 0:
        return math.inf  # no variances: a sum near 0 that each arithmetic rounds in its own way
    scales = (module.running_var.double() + module.eps).rsqrt()
    if module.weight is not None:
        scales = module.weight.double().abs() * scales
    return up(float(scales.max()) * (1 + 8 * EPS))
