"""Variational inference by a Gaussian with independent parameters (Blundell et al. 2015, Bayes by backprop)."""

import torch
from torch import Tensor
from torch.nn import functional

from lipnet.options.posteriors import Variational as Option
from lipnet.tasks.bayes.sampler import Adagrad, Sampler, State, normal

_START = -3.0  # of the softplus' argument: standard deviations begin small


class Variational(Sampler):
    """A state has ``mean`` and ``raw`` deviations, ``softplus(raw)``, and what Adagrad has summed up of either."""

    option: Option

    @property
    def iterations(self) -> int:
        return self.option.iterations

    def start(self) -> State:
        (mean,) = self.first_positions(1, self.option.descent, self.random(-1))
        raw = torch.full_like(mean, _START)
        return {
            "mean": mean, "raw": raw, "mean_squares": torch.zeros_like(mean), "raw_squares": torch.zeros_like(mean),
            "bound": torch.zeros((), dtype=torch.float64),
        }  # fmt: skip

    def step(self, state: State, iteration: int) -> None:
        noise = normal((self.option.samples, len(state["mean"])), self.random(iteration))
        mean, raw = state["mean"].requires_grad_(), state["raw"].requires_grad_()
        deviation = functional.softplus(raw)
        bound = self.density(mean + deviation * noise).mean() + deviation.log().sum()
        gradients = torch.autograd.grad(bound, [mean, raw])
        state["bound"] = bound.detach()
        for name, gradient in zip(("mean", "raw"), gradients, strict=True):
            state[name], state[f"{name}_squares"] = Adagrad(self.option.rate).up(
                state[name].detach(), state[f"{name}_squares"], gradient
            )

    def samples(self, state: State) -> Tensor:
        noise = normal((self.option.draws, len(state["mean"])), self.random(self.iterations))
        return (state["mean"] + functional.softplus(state["raw"]) * noise)[None]

    @property
    def remedy(self) -> str:
        return f"inference.rate (it is {self.option.rate:g})"

    def report(self, state: State) -> dict[str, float]:
        return {"evidence_bound": float(state["bound"])}
