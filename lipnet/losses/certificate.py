"""Cross-entropy that is paid in certified radius: the certificate regularisation of Singla, Singla, Feizi 2022."""

import math

import torch
from torch import Tensor

from lipnet.losses import Loss
from lipnet.losses.cross_entropy import offset_cross_entropy
from lipnet.losses.demand import Demand
from lipnet.options.training import Certificate


def certificate(option: Certificate, wanted: float, demand: Demand) -> Loss:
    """Cross-entropy with the offset ``wanted``, less ``weight`` times the example's certified radius, in raw pixels.

    An example that is classified wrongly has the radius 0, and nothing pulls at it but the cross-entropy
    (arXiv 2108.04062, section 5).
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        entropy = offset_cross_entropy(logits, labels, wanted, option.temperature)
        return entropy - option.weight * _radii(logits, labels, demand).relu()

    return loss


def _radii(logits: Tensor, labels: Tensor, demand: Demand) -> Tensor:
    """``min_j (z_y - z_j) / C_yj`` with the constants of the differences; negative where the prediction is wrong."""
    gaps = logits.gather(1, labels[:, None]) - logits
    constants = demand.constants(logits, labels).clamp_min(torch.finfo(logits.dtype).tiny)  # no row is equal for long
    own = torch.zeros_like(gaps, dtype=torch.bool).scatter(1, labels[:, None], True)
    return (gaps / constants).masked_fill(own, math.inf).amin(1)
