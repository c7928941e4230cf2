"""Cross-entropy whose weight fades as an example is learned: logit annealing (Lai et al. 2025, arXiv 2505.15174)."""

import torch
from torch import Tensor

from lipnet.losses import Loss
from lipnet.losses.cross_entropy import offset_cross_entropy
from lipnet.losses.demand import Demand
from lipnet.options.training import LogitAnnealing


def logit_annealing(option: LogitAnnealing, wanted: float, demand: Demand) -> Loss:
    """``T (1 - p_y)^beta CE(a, y)`` with ``a = (z - offset e_y) / T`` and ``p = softmax(a)``.

    A large margin is not worth more and more of the network's capacity, of which a Lipschitz network has little: once
    the label has a probability near 1 with the offset taken from it, the example stops to pull. With ``emma``
    rivals are raised by as much of their margins as they have reached, in place of the offset.
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        raised, offset = logits, wanted
        if option.emma:
            raised, offset = logits + demand.reached(logits, labels), 0.0
        elif demand.pairs is not None:
            raised, offset = logits + demand.margins(logits, labels), 0.0
        entropy = offset_cross_entropy(raised, labels, offset, option.temperature)
        # 1 - p, not from p: a probability near 1 has no digits left of what it lacks.
        lacking = -(-entropy).expm1()
        lacking = lacking.clamp_min(torch.finfo(lacking.dtype).tiny)  # a root of 0 has no gradient
        return option.temperature * lacking**option.beta * entropy

    return loss
