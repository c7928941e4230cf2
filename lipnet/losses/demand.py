"""What a loss asks of the differences of logits: margins that certify a radius."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.certify import hardened, lipschitz_bound
from lipnet.certify.rules.linear import DENSE_LAYERS
from lipnet.errors import UserError

_LEAST = 0.01  # of its margin: what a rival is raised by that has won already, or is about to
_LARGER = 1e-3  # by which constrained layers may exceed their constant in float32, all together


@dataclass(frozen=True)
class Demand:
    """A radius, and the Lipschitz constants by which it becomes margins.

    Attributes:
        epsilon: L2 radius in raw pixels.
        lipschitz: L, of the network; each difference of two logits has the constant ``sqrt(2) L`` at most.
        pairs: ``(classes, classes)`` constants of each difference, where margins are asked for pair by pair.
    """

    epsilon: float
    lipschitz: float
    pairs: Tensor | None = None

    @property
    def margin(self) -> float:
        """``sqrt(2) epsilon L``: a difference of two logits that certifies the radius."""
        return math.sqrt(2) * self.epsilon * self.lipschitz

    def constants(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of ``z_label - z_j``, ``(examples, classes)``; 0 at the label itself."""
        if self.pairs is not None:
            return self.pairs.to(logits.dtype)[labels]
        others = 1 - functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
        return math.sqrt(2) * self.lipschitz * others

    def margins(self, logits: Tensor, labels: Tensor) -> Tensor:
        """``epsilon`` times the constants: what the label's logit should exceed each other one by."""
        return self.epsilon * self.constants(logits, labels)

    def reached(self, logits: Tensor, labels: Tensor) -> Tensor:
        """As much of each margin as the other logit could reach: ``r_j m_j``, ``r_j = clip(-u_j / m_j, 0.01, 1)``.

        ``u_j = z_j - z_label``. No gradient runs through r (Hu et al. 2023, arXiv 2301.12549, section 4).
        """
        behind = logits - logits.gather(1, labels[:, None])
        margins = self.margins(logits, labels)
        with torch.no_grad():
            share = (-behind / margins.clamp_min(torch.finfo(logits.dtype).tiny)).clamp(_LEAST, 1)
        return share * margins


def per_pair(option: Any) -> bool:
    """Whether a loss asks for margins pair by pair."""
    return bool(getattr(option, "per_pair", False))


def refuse_pairs(network: nn.Module, shape: tuple[int, ...], lipschitz: float) -> None:
    """Refuses a network that margins of pairs would promise more of than is proved.

    Args:
        shape: of one input.
        lipschitz: what everything before the last layer is taken to have as its constant.

    Raises:
        UserError: it does not end with a fully connected layer, or what is before that has another constant.
    """
    try:
        pair_constants(network, lipschitz)
        before = lipschitz_bound(nn.Sequential(*hardened(network).children())[:-1], shape)
    except TypeError as error:
        raise UserError(f"loss.per_pair=true: {error}; use loss.per_pair=false.") from None
    if before > lipschitz * (1 + _LARGER):
        raise UserError(
            f"loss.per_pair=true: what is before the last layer has the Lipschitz constant {before:.4g}, and margins "
            f"would be asked for as if that were {lipschitz:.4g}; use loss.per_pair=false."
        )


def pair_constants(network: nn.Module, lipschitz: float) -> Tensor:
    """``L |w_i - w_j|`` for the rows w of the last layer, ``(classes, classes)``, with gradients (Singla et al. 2022).

    Args:
        network: a sequence that ends with a fully connected layer.
        lipschitz: L, of everything before that layer.

    Raises:
        TypeError: its last layer is another one.
    """
    last = network[-1] if isinstance(network, nn.Sequential) and len(network) else network
    if not isinstance(last, DENSE_LAYERS):
        raise TypeError(f"margins of pairs of classes need a fully connected last layer, not {type(last).__name__}")
    # Not by products: of rows that are almost equal those would lose every digit.
    return lipschitz * torch.cdist(last.weight, last.weight, compute_mode="donot_use_mm_for_euclid_dist")
