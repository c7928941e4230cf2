"""What one update of a network's parameters is."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lipnet.layers.training import regularized
from lipnet.options.config import Config

# The forward pass of one batch: the loss that is to be descended, and sums over the batch, which are none of an
# update's business. Each call makes a new graph, at the parameters as they are.
Loss = Callable[[], tuple[Tensor, Tensor]]


class Update(Protocol):
    """Made once for a run, from the network and its optimizer, whose learning rate is set before each step."""

    def step(self, loss: Loss) -> Tensor:
        """One update by one batch; returns the sums of a forward pass at the parameters before it."""

    def metrics(self) -> dict[str, float]:
        """What an epoch reports of updates, by TensorBoard tag: of the parameters as they are, or of the state."""

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors: what the rest of the run depends on beside parameters and optimizer."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over such a state; an empty one is that of a checkpoint from before there was any.

        Raises:
            ValueError, LookupError, TypeError: it is none of this kind of update.
        """


MakesUpdate = Callable[[nn.Module, torch.optim.Optimizer, Config], Update]


class PlainUpdate:
    """A step of the optimizer along the gradient of the loss and of the regularizers of the network's layers."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, config: Config) -> None:
        self.optimizer, self.layers = optimizer, regularized(model)

    def step(self, loss: Loss) -> Tensor:
        value, sums = loss()
        self.optimizer.zero_grad()
        (value + total_regularizer(self.layers) if self.layers else value).backward()
        self.optimizer.step()
        return sums

    def metrics(self) -> dict[str, float]:
        return regularizer_metrics(self.layers)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            raise ValueError(f"a plain update has no state, and this one has {', '.join(map(str, state))}")


def total_regularizer(layers: Sequence[Any]) -> Tensor:
    """What layers that have a regularizer, one at least, add to the loss."""
    first, *others = (layer.regularizer() for layer in layers)
    return sum(others, start=first)


def regularizer_metrics(layers: Sequence[Any]) -> dict[str, float]:
    """The same as an epoch reports it; nothing where there are none."""
    if not layers:
        return {}
    with torch.no_grad():
        return {"train/regularizer": float(total_regularizer(layers))}
