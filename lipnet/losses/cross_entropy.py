"""Cross-entropy of logits from which a margin has been taken."""

import math

from torch import Tensor
from torch.nn import functional

from lipnet.losses import Loss
from lipnet.options.training import CrossEntropy


def cross_entropy(option: CrossEntropy, wanted: float) -> Loss:
    """``offset_cross_entropy`` with the offset ``wanted``."""
    return lambda logits, labels: offset_cross_entropy(logits, labels, wanted, option.temperature)


def offset_cross_entropy(logits: Tensor, labels: Tensor, offset: float, temperature: float) -> Tensor:
    """Cross-entropy of ``(logits - offset · onehot(label)) / temperature`` (Prach & Lampert 2022, section 5).

    The true logit must win by ``offset`` before the loss falls; a low temperature makes it nearly a hinge.
    """
    shifted = logits - offset * functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return functional.cross_entropy(shifted / temperature, labels, reduction="none")


def slope(option: CrossEntropy, classes: int) -> float:
    """Probabilities less the one-hot label, over the temperature: at most ``sqrt(2)`` over it, whatever ``classes``."""
    return math.sqrt(2) / option.temperature
