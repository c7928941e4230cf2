"""Scalings: fixed, or learned and fixed in evaluation."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lipnet.certify.bound import Refusal, Shape, register_rule
from lipnet.certify.norm import EPS, up
from lipnet.layers import Normalize, Scale


@register_rule(Normalize)
def _normalize(module: Normalize, shape: Shape) -> float:
    return up(1 / float(module.std.double().min()))


@register_rule(Scale)
def _scale(module: Scale, shape: Shape) -> float:
    return abs(float(module.factor))


@register_rule(_BatchNorm, nn.SyncBatchNorm)
def _batch_norm(module: _BatchNorm, shape: Shape) -> float:
    """``max |γ| / sqrt(running variance + eps)``."""
    if module.training or module.running_var is None:
        raise Refusal(
            "it divides by the batch's own deviations, so an example's output depends on the others'; "
            + ("call .eval() first" if module.running_var is not None else "use track_running_stats=True")
        )
    scales = (module.running_var.double() + module.eps).rsqrt()
    if module.weight is not None:
        scales = module.weight.double().abs() * scales
    return up(float(scales.max()) * (1 + 8 * EPS))
