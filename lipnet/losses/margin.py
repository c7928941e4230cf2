"""Losses that ask for a margin; each returns one value an example."""

import math
from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from lipnet.options.training import CrossEntropy, Margin

Loss = Callable[[Tensor, Tensor], Tensor]


def build_loss(option: Margin | CrossEntropy, lipschitz: float) -> Loss:
    """``(logits, labels) -> (examples,)``; the margin is ``sqrt(2) * epsilon * L``, which certifies radius epsilon."""
    margin = math.sqrt(2) * option.epsilon * lipschitz
    if isinstance(option, CrossEntropy):
        return lambda logits, labels: offset_cross_entropy(logits, labels, margin, option.temperature)
    return lambda logits, labels: functional.multi_margin_loss(logits, labels, margin=margin, reduction="none")


def offset_cross_entropy(logits: Tensor, labels: Tensor, offset: float, temperature: float) -> Tensor:
    """Cross-entropy of ``(logits - offset · onehot(label)) / temperature`` (Prach & Lampert 2022, section 5).

    The true logit must win by ``offset`` before the loss falls; a low temperature makes it nearly a hinge.
    """
    shifted = logits - offset * functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return functional.cross_entropy(shifted / temperature, labels, reduction="none")
