"""Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011), all chains in one batch.

The step is adapted in the burn-in by dual averaging (Hoffman & Gelman 2014), one for all chains, and each chain's own
varies about it, so that no trajectory has the length of an orbit. It is short, and tested against a posterior known in
closed form: the libraries that sample well run one chain after the other in torch, or want the network in JAX.
"""

import math

import torch
from torch import Tensor

from lipnet.options.posteriors import HMC as Option
from lipnet.tasks.bayes.results import Diagnostics
from lipnet.tasks.bayes.sampler import ChainSampler, State, normal

_DIVERGENT = 1000.0  # an energy error beyond which a trajectory has left the level set for good
_ENOUGH = 5  # iterations after the burn-in by which one sees that most diverge
_JITTER = 0.2
# Of dual averaging, as in the paper: how much the first iterations count, and how fast the average forgets them.
_SHRINKAGE, _FIRST, _FORGETTING = 0.05, 10.0, 0.75


class HMC(ChainSampler):
    """A state has, of each chain, ``position``, ``value`` and ``gradient`` there, and counts of what happened."""

    option: Option

    def start(self) -> State:
        position = self.first_positions(self.option.chains, self.option.descent, self.random(-1))
        value, gradient = self.density.gradient(position)
        step = torch.tensor(math.log(self.option.step), dtype=torch.float64)
        zero = torch.zeros(self.option.chains, dtype=torch.float64)
        return {
            "position": position, "value": value, "gradient": gradient, "kept": self.places(position.shape[1]),
            "step": step, "average_step": step.clone(), "first_step": step + math.log(10), "error": step * 0,
            "acceptance": zero, "divergences": zero.clone(),
        }  # fmt: skip

    def step(self, state: State, iteration: int) -> None:
        random, option = self.random(iteration), self.option
        position, value = state["position"], state["value"]
        momentum = normal(tuple(position.shape), random)
        uniform = torch.rand(2, len(position), generator=random, dtype=torch.float64)
        size = state["step"].exp() * (1 + _JITTER * (2 * uniform[0] - 1))
        end, end_value, end_gradient, end_momentum = self.trajectory(position, momentum, state["gradient"], size)
        change = end_value - value - (end_momentum**2 - momentum**2).sum(1) / 2
        finite = torch.isfinite(change) & torch.isfinite(end_gradient).all(1)
        change = torch.where(finite, change, -math.inf)
        probability = change.clamp(max=0).exp()
        accepted = uniform[1] < probability
        state["position"] = torch.where(accepted[:, None], end, position)
        state["value"] = torch.where(accepted, end_value, value)
        state["gradient"] = torch.where(accepted[:, None], end_gradient, state["gradient"])
        if iteration < option.burn_in:
            if option.acceptance is not None:
                self._adapt(state, iteration, option.acceptance - float(probability.mean()))
        else:
            state["acceptance"] += probability
            state["divergences"] += change < -_DIVERGENT
        self.keep(state, iteration)

    def trajectory(
        self, position: Tensor, momentum: Tensor, gradient: Tensor, size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Leapfrog steps of ``size (chains,)``: the position at the end, value and gradient there, the momentum."""
        steps = size[:, None]
        momentum = momentum + steps / 2 * gradient
        for number in range(self.option.leapfrog):
            position = position + steps * momentum
            value, gradient = self.density.gradient(position)
            last = number == self.option.leapfrog - 1
            momentum = momentum + (steps / 2 if last else steps) * gradient
        return position, value, gradient, momentum

    def _adapt(self, state: State, iteration: int, error: float) -> None:
        count = iteration + 1
        share = 1 / (count + _FIRST)
        state["error"] = (1 - share) * state["error"] + share * error
        state["step"] = state["first_step"] - math.sqrt(count) / _SHRINKAGE * state["error"]
        forgets = count**-_FORGETTING
        state["average_step"] = forgets * state["step"] + (1 - forgets) * state["average_step"]
        if count == self.option.burn_in:
            state["step"] = state["average_step"].clone()

    def report(self, state: State) -> dict[str, float]:
        return {"log_density": float(state["value"].mean()), "step": float(state["step"].exp())}

    def diagnostics(self, state: State) -> Diagnostics:
        after = self.iterations - self.option.burn_in
        acceptance, divergences = (float(state[key].mean()) / after for key in ("acceptance", "divergences"))
        return {"acceptance": acceptance, "divergences": divergences}

    def problem(self, state: State, done: int) -> str | None:
        after = done - self.option.burn_in
        if after >= _ENOUGH and float(state["divergences"].mean()) > after / 2:
            return f"most trajectories of the chains diverge; a smaller {self.remedy} usually avoids it."
        return super().problem(state, done)
