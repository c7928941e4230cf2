"""The multi-class hinge loss whose slope grows with what a margin lacks."""

from torch import Tensor
from torch.nn import functional

from lipnet.losses import Loss
from lipnet.options.training import Margin


def squared_hinge(option: Margin, wanted: float) -> Loss:
    """The mean over the other classes of the squares of what their margins lack of ``wanted``."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.multi_margin_loss(logits, labels, p=2, margin=wanted, reduction="none")

    return loss
