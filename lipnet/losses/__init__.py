"""Losses that ask for a margin, one file each; every one returns one value an example."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from lipnet.losses.demand import Demand
from lipnet.options.registry import GROUPS, load, load_code, taken

Loss = Callable[[Tensor, Tensor], Tensor]


def build_loss(option: Any, lipschitz: float, epsilon: float | None = None, pairs: Tensor | None = None) -> Loss:
    """``(logits, labels) -> (examples,)``; the margin is ``sqrt(2) * epsilon * L``, which certifies radius epsilon.

    Args:
        lipschitz: L, of the network.
        epsilon: in place of the option's own, as a schedule has it.
        pairs: ``(classes, classes)`` Lipschitz constants of the differences of two logits, which take the place of
            ``sqrt(2) L`` in losses that have margins for pairs of classes.
    """
    demand = Demand(getattr(option, "epsilon", 0.0) if epsilon is None else epsilon, lipschitz, pairs)
    make = load("loss", option.name)
    loss: Loss = make(option, demand.margin, **taken(make, demand=demand))
    return loss


def loss_slope(option: Any, classes: int) -> float:
    """A bound on the L2 norm of a loss's gradient by the logits of one example.

    Raises:
        TypeError: its registration names none.
    """
    code = GROUPS["loss"][option.name].slope
    if not code:
        raise TypeError(f"loss={option.name}: it is registered without slope=, a bound on its gradient")
    slope: float = load_code(code)(option, classes)
    return slope
