"""The hinge-regularised Kantorovich-Rubinstein loss (Serrurier et al. 2021, arXiv 2006.06520)."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from lipnet.losses import Loss
from lipnet.losses.demand import Demand
from lipnet.options.training import Hkr


def hkr(option: Hkr, wanted: float, demand: Demand) -> Loss:
    """``alpha · hinge - (1 - alpha) · KR``: the classes are moved apart as far as transport can, and beyond a margin.

    Of two classes, by ``f = (z_1 - z_0) / sqrt(2)``, which has the network's constant:
    ``KR = E[f | 1] - E[f | 0]`` and ``hinge = max(0, m / 2 - s f)`` with the sign s of the label. Of more, class by
    class against all others: ``KR`` is the mean over classes of ``E[z_k | k] - E[z_k | not k]``, the hinge
    ``(max(0, m / 2 - z_y) (C - 1) + sum_j max(0, m / 2 + z_j)) / C``. The margin m is such that an example without
    hinge has a certified radius of epsilon: ``2 epsilon L`` of two classes, ``sqrt(2) epsilon L`` of more.

    Means are over the examples at hand: what one of them adds depends on how many of each class there are. A class of
    which all are, or none, is left out of KR, which would not be a difference of two means.
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        if logits.shape[1] == 2:
            scores, signs = (logits[:, 1:] - logits[:, :1]) / math.sqrt(2), 2 * labels[:, None].to(logits.dtype) - 1
            hinge = (demand.epsilon * demand.lipschitz - signs * scores).relu()
        else:
            scores, signs = logits, 2 * functional.one_hot(labels, logits.shape[1]).to(logits.dtype) - 1
            hinge = (wanted / 2 - signs * scores).relu()
            hinge = torch.where(signs > 0, (logits.shape[1] - 1) * hinge, hinge)
        return (option.alpha * hinge - (1 - option.alpha) * _differences(scores, signs)).mean(1)

    return loss


def _differences(scores: Tensor, signs: Tensor) -> Tensor:
    """Whose mean over the examples is ``E[score | 1] - E[score | -1]``, column by column."""
    examples = len(scores)
    positive = (signs > 0).sum(0)
    negative = examples - positive
    weights = torch.where(signs > 0, examples / positive.clamp_min(1), -examples / negative.clamp_min(1))
    both = (positive > 0) & (negative > 0)
    return scores * torch.where(both, weights, 0.0).to(scores.dtype)
