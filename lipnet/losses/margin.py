"""The multi-class hinge loss of Li et al. 2019."""

import math

from torch import Tensor
from torch.nn import functional

from lipnet.losses import Loss
from lipnet.losses.demand import Demand
from lipnet.options.training import Hinge


def margin(option: Hinge, wanted: float, demand: Demand) -> Loss:
    """The mean over the other classes of what their margins lack of ``wanted``, or of the margin of their pair."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        if demand.pairs is None:
            return functional.multi_margin_loss(logits, labels, margin=wanted, reduction="none")
        lacking = demand.margins(logits, labels) - logits.gather(1, labels[:, None]) + logits
        others = 1 - functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
        return (lacking.relu() * others).mean(1)

    return loss


def slope(option: Hinge, classes: int) -> float:
    """Of C classes, k that lack margin get 1/C each and the true one -k/C: at most ``sqrt((C - 1) / C)``."""
    return math.sqrt((classes - 1) / classes)
