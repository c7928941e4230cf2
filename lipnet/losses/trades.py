"""TRADES for Lipschitz networks: accuracy, and apart from it agreement with the network that may say "not robust"."""

from torch import Tensor
from torch.nn import functional

from lipnet.losses import Loss
from lipnet.losses.demand import Demand
from lipnet.options.training import Trades


def trades(option: Trades, wanted: float, demand: Demand) -> Loss:
    """``CE(z, y) + weight · KL(softmax(z with ⊥ at -inf) || softmax(z with ⊥))``, all logits over the temperature.

    ⊥ is the class of inputs that are too near to another one: its logit ``max_j (z_j + m_j)`` is the highest that a
    class other than the predicted one may come to within the radius (Leino, Wang, Fredrikson 2021, arXiv 2102.08452,
    section 3). The probabilities of the classes differ by one factor, so that the divergence is
    ``log(1 + exp(z_⊥ - logsumexp z))``.
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        predicted = logits.argmax(1)
        rivals = (logits + demand.margins(logits, predicted)).scatter(1, predicted[:, None], -float("inf"))
        scaled = logits / option.temperature
        undecided = functional.softplus(rivals.amax(1) / option.temperature - scaled.logsumexp(1))
        return functional.cross_entropy(scaled, labels, reduction="none") + option.weight * undecided

    return loss
