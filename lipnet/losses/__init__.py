"""Losses that ask for a margin, one file each; every one returns one value an example."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from lipnet.options.registry import GROUPS, load, load_code

Loss = Callable[[Tensor, Tensor], Tensor]


def build_loss(option: Any, lipschitz: float) -> Loss:
    """``(logits, labels) -> (examples,)``; the margin is ``sqrt(2) * epsilon * L``, which certifies radius epsilon."""
    loss: Loss = load("loss", option.name)(option, math.sqrt(2) * getattr(option, "epsilon", 0.0) * lipschitz)
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
