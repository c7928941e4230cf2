"""Scalings and translations: fixed, or learned and fixed in evaluation."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.bound import Refusal, Shape, lipschitz_bound, register_rule
from lipnet.certify.norm import EPS, up
from lipnet.certify.rounding import Step, one_product, register_step
from lipnet.layers.centering import BatchCentering
from lipnet.layers.shape import Normalize, Scale
from lipnet.layers.translation import Translation


@register_rule(Normalize)
def _normalize(module: Normalize, shape: Shape) -> float:
    if len(shape) != 3 or module.std.shape[0] not in (1, shape[0]):
        raise Refusal(f"it takes images (channels, height, width) of {len(module.std)} channels, got {shape}")
    smallest = float(module.std.double().abs().min())
    return up(1 / smallest) if smallest > 0 else math.inf


@register_step(Normalize)
def _normalize_step(module: Normalize, shape: Shape, precision: torch.finfo) -> Step:
    zero = float(torch.linalg.vector_norm((module.mean.double() / module.std.double()).expand(shape)))
    lipschitz = lipschitz_bound(module, shape)
    lost = 2 * math.sqrt(math.prod(shape)) * precision.tiny * (1 + lipschitz)
    return Step(zero, 2 * precision.eps * lipschitz, 2 * precision.eps * zero + lost)


@register_rule(Scale)
def _scale(module: Scale, shape: Shape) -> float:
    if not isinstance(module.factor, int | float):
        raise Refusal(f"its factor is a {type(module.factor).__name__}; use a number")
    return abs(float(module.factor))


register_step(Scale)(one_product)


@register_rule(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
def _batch_norm(module: Any, shape: Shape) -> float:
    """``max |γ| / sqrt(running variance + eps)``."""
    if module.training or module.running_var is None or module.running_mean is None:
        remedy = "use track_running_stats=True" if module.running_var is None else "call .eval() first"
        raise Refusal(
            f"it divides by the batch's own deviations, so an example's output depends on the others'; {remedy}"
        )
    if not bool((module.running_var >= 0).all()) or not module.eps >= 0:
        return math.inf  # no variances: a sum near 0 that each arithmetic rounds in its own way
    scales = (module.running_var.double() + module.eps).rsqrt()
    if module.weight is not None:
        scales = module.weight.double().abs() * scales
    return up(float(scales.max()) * (1 + 8 * EPS))


@register_step(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
def _batch_norm_step(module: Any, shape: Shape, precision: torch.finfo) -> Step:
    lipschitz = lipschitz_bound(module, shape)
    assert module.running_var is not None
    assert module.running_mean is not None
    variance = module.running_var.double()
    held = module.eps if module.eps >= precision.tiny else 0.0  # a smaller one may be flushed to 0
    if bool(((variance + module.eps) * (1 - precision.eps) > variance + held).any()):
        return Step(0.0, math.inf, math.inf)
    pixels, scale = math.sqrt(math.prod(shape[1:])), (variance + module.eps).rsqrt()
    if module.weight is not None:
        scale = scale * module.weight.double().abs()
    shift = float(torch.linalg.vector_norm(module.running_mean.double() * scale))
    if module.bias is not None:
        shift += float(torch.linalg.vector_norm(module.bias.double()))
    lost = 8 * math.sqrt(math.prod(shape)) * precision.tiny
    return Step(
        pixels * shift, 8 * precision.eps * lipschitz + lost, 8 * precision.eps * pixels * shift + lost, lipschitz
    )


@register_rule(Translation)
def _translation(module: Translation, shape: Shape) -> float:
    return 1.0


@register_rule(BatchCentering)
def _centering(module: BatchCentering, shape: Shape) -> float:
    if module.training:
        raise Refusal("it subtracts the batch's own mean, so an example's output depends on the others'; call .eval()")
    return 1.0


@register_step(Translation)
def _translation_step(module: Translation, shape: Shape, precision: torch.finfo) -> Step:
    return _addition(module.offset, shape, precision)


@register_step(BatchCentering)
def _centering_step(module: BatchCentering, shape: Shape, precision: torch.finfo) -> Step:
    return _addition(module.running_mean.view(-1, *[1] * (len(shape) - 1)), shape, precision)


def _addition(constant: Tensor, shape: Shape, precision: torch.finfo) -> Step:
    """One sum an entry, with a constant."""
    entries = math.prod(shape)
    zero = float(torch.linalg.vector_norm(constant.detach().double().expand(shape))) * (1 + entries * EPS)
    return Step(zero, precision.eps, precision.eps * zero + 2 * math.sqrt(entries) * precision.tiny)
