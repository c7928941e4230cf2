"""Stein variational gradient descent (Liu & Wang 2016): particles that climb the density and repel each other."""

import math

import torch
from torch import Tensor

from lipnet.options.posteriors import SVGD as Option
from lipnet.tasks.bayes.sampler import Adagrad, Sampler, State


class SVGD(Sampler):
    """A state has the ``position`` of each particle, and what Adagrad has summed up."""

    option: Option

    @property
    def iterations(self) -> int:
        return self.option.iterations

    def start(self) -> State:
        position = self.first_positions(self.option.particles, self.option.descent, self.random(-1))
        value = torch.zeros(len(position), dtype=torch.float64)
        return {"position": position, "value": value, "squares": torch.zeros_like(position)}

    def step(self, state: State, iteration: int) -> None:
        self.random(iteration)
        state["value"], gradient = self.density.gradient(state["position"])
        direction = stein_direction(state["position"], gradient)
        state["position"], state["squares"] = Adagrad(self.option.rate).up(
            state["position"], state["squares"], direction
        )

    def samples(self, state: State) -> Tensor:
        return state["position"][None]

    @property
    def remedy(self) -> str:
        return f"inference.rate (it is {self.option.rate:g})"

    def report(self, state: State) -> dict[str, float]:
        return {"log_density": float(state["value"].mean())}


def stein_direction(positions: Tensor, gradients: Tensor) -> Tensor:
    """``1/n Σ_j [k(x_j, x) ∇ log p(x_j) + ∇_j k(x_j, x)]`` by a Gaussian kernel of the median distance's width."""
    squares = torch.cdist(positions, positions).square()
    bandwidth = squares.median() / math.log(len(positions) + 1)
    kernel = torch.exp(-squares / bandwidth.clamp_min(torch.finfo(positions.dtype).tiny))
    repulsion = 2 / bandwidth * (kernel.sum(1, keepdim=True) * positions - kernel @ positions)
    return (kernel @ gradients + repulsion) / len(positions)
