"""Stochastic gradient Langevin dynamics (Welling & Teh 2011), all chains in one batch; it has no Metropolis test.

Its steps shrink as ``step ((delay + t) / (delay + 1))^-decay``. A gradient is of some examples, drawn anew at every
step, or of all.
"""

import torch
from torch import Tensor

from lipnet.options.posteriors import SGLD as Option
from lipnet.tasks.bayes.sampler import ChainSampler, State, normal


class SGLD(ChainSampler):
    """A state has the ``position`` of each chain and the log density there, of the examples that were drawn."""

    option: Option

    def start(self) -> State:
        position = self.first_positions(self.option.chains, self.option.descent, self.random(-1))
        value = torch.zeros(len(position), dtype=torch.float64)
        return {"position": position, "value": value, "kept": self.places(position.shape[1])}

    def size(self, iteration: int) -> float:
        """The step of an iteration."""
        first = self.option.delay + 1
        return float(self.option.step * ((first + iteration) / first) ** -self.option.decay)

    def step(self, state: State, iteration: int) -> None:
        random, size = self.random(iteration), self.size(iteration)
        state["value"], gradient = self.density.gradient(state["position"], self._examples(random))
        noise = normal(tuple(gradient.shape), random)
        state["position"] = state["position"] + size / 2 * gradient + size**0.5 * noise
        self.keep(state, iteration)

    def _examples(self, random: torch.Generator) -> Tensor | None:
        count, wanted = len(self.density.problem.targets), self.option.examples
        return None if wanted is None or wanted >= count else torch.randperm(count, generator=random)[:wanted]

    def report(self, state: State) -> dict[str, float]:
        return {"log_density": float(state["value"].mean())}
