"""How the predictions of experts become one, and what is proved of its regret."""

import math
from typing import Any

import torch
from torch import Tensor


class Aggregation:
    """Weights of experts from their losses so far; the prior is uniform.

    ``weak``: the weak aggregating algorithm (Kalnishkan & Vyugin 2008), ``w ~ exp(-rate / sqrt(n) * loss)`` in round n.
    ``hedge``: ``w ~ exp(-rate * loss)`` (Freund & Schapire 1997). ``adahedge``: the same with
    ``rate = log(experts) / D`` (de Rooij et al. 2014), where D sums over rounds how much more the weighted mean of
    losses was than the mix loss ``-log(Σ w exp(-rate * loss)) / rate``; it takes no ``rate``, and losses in another
    unit change nothing. ``leader``: all on the best so far, the first of several. ``uniform``: the same for all.

    For losses that are convex in the prediction, the weighted mean's total loss exceeds that of expert i by at most

        ``log(experts) / rate_n + sum over rounds t of rate_t * b_t² / 8``

    with b_t the range of the experts' losses in round t: by Hoeffding's lemma in each round, and since the potential
    ``-log(mean(exp(-rate * loss))) / rate`` falls with the rate, which itself never rises (Cesa-Bianchi & Lugosi 2006,
    section 2.3). No bound on the losses need be known before. Of ``adahedge`` the mix losses sum to at most the best
    expert's loss and ``log(experts) / rate_n``, which is D before the last round: so the excess is at most D before and
    after it.

    Attributes:
        losses: of each expert so far, float64 ``(experts,)``.
        rounds: how many have been.
    """

    def __init__(self, experts: int, kind: str, rate: float) -> None:
        self.kind, self.rate = kind, rate
        self.losses = torch.zeros(experts, dtype=torch.float64)
        self.rounds = 0
        self._slack = 0.0  # of adahedge: D
        self._before = 0.0  # of adahedge: D without the last round

    def weights(self) -> Tensor:
        """Those of the coming round."""
        count = len(self.losses)
        if self.kind == "uniform" or not self.rounds:
            return torch.full((count,), 1 / count, dtype=torch.float64)
        if self.kind == "leader":
            return torch.eye(count, dtype=torch.float64)[int(self.losses.argmin())]
        behind = self.losses - self.losses.min()
        if self.kind == "adahedge" and not self._slack:  # an infinite rate: those who lead, alike
            leading = (behind == 0).double()
            return leading / leading.sum()
        return torch.softmax(-self._rate(self.rounds + 1) * behind, 0)

    def learn(self, losses: Tensor) -> None:
        """Takes in the experts' losses of a round, ``(experts,)``."""
        if self.kind == "adahedge":
            self._before, self._slack = self._slack, self._slack + self._mixability_gap(losses)
        self.losses = self.losses + losses
        self.rounds += 1
        if self.kind in ("weak", "hedge"):
            spread = float(losses.max() - losses.min())
            self._slack += self._rate(self.rounds) * spread * spread / 8  # a power would raise where it is infinite

    def _mixability_gap(self, losses: Tensor) -> float:
        """How much more the weighted mean of a round's losses is than its mix loss."""
        if len(losses) == 1:
            return 0.0
        weights, least = self.weights(), losses.min()
        mean = float(weights @ (losses - least))
        if not self._slack:  # the mix loss at an infinite rate: what the least total loss grows by
            return max(0.0, mean - float((self.losses + losses).min() - self.losses.min() - least))
        rate = self._rate(self.rounds + 1)
        if not rate:  # after losses that are infinite
            return 0.0
        logs = torch.log_softmax(-rate * (self.losses - self.losses.min()), 0)  # weights may be too small for numbers
        mix = -float(torch.logsumexp(logs - rate * (losses - least), 0)) / rate
        return max(0.0, mean - mix)

    def regret_bound(self) -> float | None:
        """What the total loss exceeds the best expert's by at most; ``None`` where nothing is proved."""
        if self.kind == "adahedge":
            return self._before + self._slack
        if self.kind not in ("weak", "hedge"):
            return None
        return math.log(len(self.losses)) / self._rate(max(self.rounds, 1)) + self._slack

    def _rate(self, number: int) -> float:
        if self.kind == "adahedge":
            return math.log(len(self.losses)) / self._slack if self._slack else math.inf
        return self.rate / math.sqrt(number) if self.kind == "weak" else self.rate

    def state_dict(self) -> dict[str, Any]:
        return {
            "losses": self.losses.clone(), "rounds": self.rounds, "slack": self._slack, "before": self._before
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.losses, self.rounds, self._slack = state["losses"].clone(), state["rounds"], state["slack"]
        self._before = state.get("before", 0.0)  # which checkpoints from before adahedge have not
