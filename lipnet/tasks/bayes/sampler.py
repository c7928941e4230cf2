"""What every way of inference is: iterations on a state of tensors, which a checkpoint holds whole."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from lipnet.randomness import stream
from lipnet.tasks.bayes.density import Density, gradient_of
from lipnet.tasks.bayes.results import Diagnostics

_RATE = 0.05  # of the descent before the first step, from where it falls to 0
State = dict[str, Tensor]


class Sampler(ABC):
    """Samples a density over vectors.

    Each iteration draws from a stream of its own, so that with its state a sampler goes on as if it had never stopped.

    Args:
        option: the keys of the inference.
        name: of the posterior, which the streams are named by.
    """

    def __init__(self, option: Any, density: Density, seed: int, name: str) -> None:
        self.option, self.density, self.seed, self.name = option, density, seed, name

    @property
    @abstractmethod
    def iterations(self) -> int:
        """How many steps there are."""

    @abstractmethod
    def start(self) -> State:
        """The state before the first step."""

    @abstractmethod
    def step(self, state: State, iteration: int) -> None:
        """Changes the state in place; iterations count from 0."""

    @abstractmethod
    def samples(self, state: State) -> Tensor:
        """What is left in the end: ``(chains, draws, size)``, of what has no chains ``(1, members, size)``."""

    def diagnostics(self, state: State) -> Diagnostics:
        """What a sampler itself knows of how well it went."""
        return {}

    def problem(self, state: State, done: int) -> str | None:
        """Why it makes no sense to go on after so many iterations, and what helps."""
        if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
            return f"the networks diverged: their parameters are not finite. A smaller {self.remedy} usually avoids it."
        return None

    @property
    def remedy(self) -> str:
        """The key of a sampler's step."""
        return f"inference.step (it is {self.option.step:g})"

    @abstractmethod
    def report(self, state: State) -> dict[str, float]:
        """Numbers by which one sees how it goes, by name."""

    def random(self, iteration: int) -> torch.Generator:
        """What an iteration draws from; -1 is the start. The density's points are drawn from it too."""
        generator = stream(self.seed, "inference", self.name, iteration)
        if self.density.generator is not None:
            self.density.generator = generator
        return generator

    def from_prior(self, count: int, generator: torch.Generator) -> Tensor:
        """Vectors drawn from the Gaussian prior."""
        mean, deviation = self.density.prior
        return mean + deviation * normal((count, len(mean)), generator)

    def first_positions(self, count: int, steps: int, random: torch.Generator) -> Tensor:
        """Draws of the prior, and from there down the density's guide by Adam: none would find out of a plateau.

        Where they start changes nothing of what they are to converge to.
        """
        position = self.from_prior(count, random).requires_grad_()
        descent = torch.optim.Adam([position], lr=_RATE)
        for number in range(steps):
            descent.param_groups[0]["lr"] = _RATE * (1 - number / steps)
            _, gradients = gradient_of(self.density.guide, position)
            position.grad = -gradients
            descent.step()
        return position.detach()


class ChainSampler(Sampler):
    """One whose state has positions ``(chains, size)``, every ``thin``-th of which is kept after the burn-in."""

    @property
    def iterations(self) -> int:
        return int(self.option.burn_in + self.option.thin * self.option.draws)

    def samples(self, state: State) -> Tensor:
        return state["kept"]

    def keep(self, state: State, iteration: int) -> None:
        """Notes the positions after an iteration, if it is one of those that are kept."""
        after = iteration + 1 - self.option.burn_in
        if after > 0 and after % self.option.thin == 0:
            state["kept"][:, after // self.option.thin - 1] = state["position"]

    def places(self, size: int) -> Tensor:
        """Room for what will be kept."""
        return torch.zeros(self.option.chains, self.option.draws, size, dtype=torch.float64)


def normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class Adagrad:
    """Steps up a gradient, each number's divided by the root of its summed squares (Duchi et al. 2011)."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def up(self, values: Tensor, squares: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The values after a step, and the sums of squares."""
        squares = squares + gradient**2
        return values + self.rate * gradient / (squares.sqrt() + 1e-10), squares
