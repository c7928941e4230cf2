"""The multi-class hinge loss of Li et al. 2019."""

import math

from torch import Tensor
from torch.nn import functional

from lipnet.losses import Loss
from lipnet.options.training import Margin


def margin(option: Margin, wanted: float) -> Loss:
    """The mean over the other classes of what their margins lack of ``wanted``."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.multi_margin_loss(logits, labels, margin=wanted, reduction="none")

    return loss


def slope(option: Margin, classes: int) -> float:
    """Of C classes, k that lack margin get 1/C each and the true one -k/C: at most ``sqrt((C - 1) / C)``."""
    return math.sqrt((classes - 1) / classes)
