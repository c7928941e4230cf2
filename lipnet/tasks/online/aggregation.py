"""How the predictions of experts become one, and what is proved of its regret."""

import math
from typing import Any

import torch
from torch import Tensor


class Aggregation:
    """Weights of experts from their losses so far; the prior is uniform.

    ``weak``: the weak aggregating algorithm (Kalnishkan & Vyugin 2008), ``w ~ exp(-rate / sqrt(n) * loss)`` in round n.
    ``hedge``: ``w ~ exp(-rate * loss)`` (Freund & Schapire 1997). ``leader``: all on the best so far, the first of
    several. ``uniform``: the same for all.

    For losses that are convex in the prediction, the weighted mean's total loss exceeds that of expert i by at most

        ``log(experts) / rate_n + sum over rounds t of rate_t * b_t² / 8``

    with b_t the range of the experts' losses in round t: by Hoeffding's lemma in each round, and since the potential
    ``-log(mean(exp(-rate * loss))) / rate`` falls with the rate, which itself never rises (Cesa-Bianchi & Lugosi 2006,
    section 2.3). No bound on the losses need be known before.

    Attributes:
        losses: of each expert so far, float64 ``(experts,)``.
        rounds: how many have been.
    """

    def __init__(self, experts: int, kind: str, rate: float) -> None:
        self.kind, self.rate = kind, rate
        self.losses = torch.zeros(experts, dtype=torch.float64)
        self.rounds = 0
        self._slack = 0.0

    def weights(self) -> Tensor:
        """Those of the coming round."""
        count = len(self.losses)
        if self.kind == "uniform" or not self.rounds:
            return torch.full((count,), 1 / count, dtype=torch.float64)
        if self.kind == "leader":
            return torch.eye(count, dtype=torch.float64)[int(self.losses.argmin())]
        return torch.softmax(-self._rate(self.rounds + 1) * (self.losses - self.losses.min()), 0)

    def learn(self, losses: Tensor) -> None:
        """Takes in the experts' losses of a round, ``(experts,)``."""
        self.losses = self.losses + losses
        self.rounds += 1
        spread = float(losses.max() - losses.min())
        self._slack += self._rate(self.rounds) * spread * spread / 8  # a power would raise where it is infinite

    def regret_bound(self) -> float | None:
        """What the total loss exceeds the best expert's by at most; ``None`` where nothing is proved."""
        if self.kind not in ("weak", "hedge"):
            return None
        return math.log(len(self.losses)) / self._rate(max(self.rounds, 1)) + self._slack

    def _rate(self, number: int) -> float:
        return self.rate / math.sqrt(number) if self.kind == "weak" else self.rate

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.losses.clone(), "rounds": self.rounds, "slack": self._slack}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.losses, self.rounds, self._slack = state["losses"].clone(), state["rounds"], state["slack"]
