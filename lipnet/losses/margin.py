"""The multi-class hinge loss of Li et al. 2019."""

from torch import Tensor
from torch.nn import functional

from lipnet.losses import Loss
from lipnet.options.training import Margin


def margin(option: Margin, wanted: float) -> Loss:
    """The mean over the other classes of what their margins lack of ``wanted``."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.multi_margin_loss(logits, labels, margin=wanted, reduction="none")

    return loss
