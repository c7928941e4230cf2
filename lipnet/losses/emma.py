"""Efficient margin maximisation (EMMA): each rival is held off by as much as it could reach, and no more."""

from torch import Tensor
from torch.nn import functional

from lipnet.losses import Loss
from lipnet.losses.demand import Demand
from lipnet.options.training import Emma


def emma(option: Emma, wanted: float, demand: Demand) -> Loss:
    """Cross-entropy of logits of which each other one is raised by as much of its margin as has been reached.

    With the margins ``m_j`` that certify the radius, ``u_j = z_j - z_y`` is raised by ``r_j m_j``,
    ``r_j = clip(-u_j / m_j, 0.01, 1)``, through which no gradient runs: a rival within reach is brought to a tie, one
    beyond reach is raised by its whole margin, and one that has won costs no effort that could not be met
    (Hu et al. 2023, arXiv 2301.12549, section 4).
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        raised = logits + demand.reached(logits, labels)
        return functional.cross_entropy(raised / option.temperature, labels, reduction="none")

    return loss
