"""The private update: what each example adds to a step is bounded, and the sum of a batch drowned in noise."""

import math
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from lipnet.certify.sensitivity import Sensitivity
from lipnet.layers.training import regularized
from lipnet.per_example import Tape, pull_back, recording
from lipnet.randomness import Secret, stream
from lipnet.training.update import Loss, regularizer_metrics

_ROUNDING = 1e-5  # by which a clipped gradient is shorter, so that no rounding makes it longer than it may be


class Bounded(NamedTuple):
    """What the examples of a batch add, by the names of effective weights.

    Attributes:
        gradients: the sum over the batch.
        bounds: of each weight, what one example adds to it is at most this long, in such proportions that all of it
            together, each part in units of its bound, is at most 1.
        sums: of the forward pass.
    """

    gradients: dict[str, Tensor]
    bounds: dict[str, float]
    sums: Tensor


class Contributions(Protocol):
    """How what an example adds is bounded."""

    def __call__(self, loss: Loss) -> Bounded:
        """Runs the forward pass and the backward pass of one batch, which may be empty."""


class Clipped:
    """Every example's gradient is shortened to at most ``clip`` (Abadi et al. 2016, arXiv 1607.00133, algorithm 1).

    It is the gradient of all *effective* weights together: what follows from their noisy sum, the free parameters'
    gradients too, is post-processing.

    Args:
        model: the network.
        clip: the L2 norm that no example's gradient exceeds.
        scale: what the sum of the examples' losses is divided by in the loss.
    """

    def __init__(self, model: nn.Module, clip: float, scale: float) -> None:
        self.model, self.clip, self.scale = model, clip, scale

    def __call__(self, loss: Loss) -> Bounded:
        tape, sums = _recorded(self.model, loss, self.scale)
        factors = (self.clip * (1 - _ROUNDING) / tape.norms()).clamp(max=1)
        gradients = tape.weighted_sums(factors)
        return Bounded(gradients, dict.fromkeys(gradients, self.clip), sums)


class BoundedByConstants:
    """Every example's gradient is as short as Lipschitz constants make it: none is looked at (Béthune et al. 2024).

    Each weight has noise in proportion to the bound of its own gradients.

    Args:
        model: the network.
        sensitivity: says how long an example's gradient can be.
        scale: what the sum of the examples' losses is divided by in the loss.
    """

    def __init__(self, model: nn.Module, sensitivity: Sensitivity, scale: float) -> None:
        self.model, self.sensitivity, self.scale = model, sensitivity, scale

    def __call__(self, loss: Loss) -> Bounded:
        tape, sums = _recorded(self.model, loss, self.scale)
        gradients = tape.weighted_sums(torch.ones(tape.examples or 0))
        limits = self.sensitivity.bounds()
        return Bounded(gradients, {name: math.sqrt(len(limits)) * limit for name, limit in limits.items()}, sums)


def _recorded(model: nn.Module, loss: Loss, scale: float) -> tuple[Tape, Tensor]:
    """Forward and backward pass of a batch, by the sum of its examples' losses; and the sums of the forward pass."""
    with recording(model) as tape:
        value, sums = loss()
    tape.backward(scale * value)
    return tape, sums


class PrivateUpdate:
    """A step of the optimizer along the noisy sum of what the examples add, over the batches' average size.

    Regularizers are of the weights alone, and are added after the noise.

    Args:
        model, optimizer: those of the run.
        contributions: how what an example adds is bounded.
        noise_multiplier: the noise's standard deviation, in units of those bounds.
        batch_size: how many examples a batch has on average.
        secret: what the noise is drawn from: a stream of its own for every step.
        files: tells the training examples. On others, the noise of a step that is repeated would be subtracted.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, contributions: Contributions,
        noise_multiplier: float, batch_size: float, secret: Secret, files: str = "",
    ) -> None:  # fmt: skip
        self.model, self.optimizer, self.layers = model, optimizer, regularized(model)
        self.contributions, self.secret = contributions, secret
        self.noise_multiplier, self.batch_size = noise_multiplier, batch_size
        self.steps, self.files, self.forgotten = 0, files, False

    def step(self, loss: Loss) -> Tensor:
        if self.forgotten:
            raise RuntimeError("the training is over: its secret is forgotten, and with it the noise")
        gradients, bounds, sums = self.contributions(loss)
        noisy = self._noisy(gradients, bounds)
        self.optimizer.zero_grad()
        parameters = dict(self.model.named_parameters())
        for name, gradient in pull_back(self.model, noisy).items():
            parameters[name].grad = gradient
        for layer in self.layers:
            layer.regularizer().backward()
        self.optimizer.step()
        self.steps += 1
        return sums

    def _noisy(self, gradients: dict[str, Tensor], bounds: dict[str, float]) -> dict[str, Tensor]:
        random = stream(self.secret.number, "privacy", self.steps)
        noisy = {}
        for name, gradient in gradients.items():
            noise = torch.randn(gradient.shape, generator=random, dtype=torch.float64).to(gradient)
            noisy[name] = (gradient + self.noise_multiplier * bounds[name] * noise) / self.batch_size
        return noisy

    def metrics(self) -> dict[str, float]:
        """Nothing that tells of examples: how many were clipped, say, has passed no noise."""
        return regularizer_metrics(self.layers)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "secret": str(self.secret.number), "files": self.files}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if not state:  # of a run that has trained all its epochs
            self.forgotten = True
            return
        if state.get("files", self.files) != self.files:
            raise ValueError("it began with other files, and noise that they share can be subtracted")
        number, steps = int(state["secret"]), state["steps"]
        if type(steps) is not int or steps < 0:
            raise ValueError(f"{steps} is no number of steps")
        self.steps, self.secret.number = steps, number
