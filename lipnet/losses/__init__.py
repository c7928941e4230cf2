"""Losses that ask for a margin, one file each; every one returns one value an example."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from lipnet.options.registry import load

Loss = Callable[[Tensor, Tensor], Tensor]


def build_loss(option: Any, lipschitz: float) -> Loss:
    """``(logits, labels) -> (examples,)``; the margin is ``sqrt(2) * epsilon * L``, which certifies radius epsilon."""
    loss: Loss = load("loss", option.name)(option, math.sqrt(2) * getattr(option, "epsilon", 0.0) * lipschitz)
    return loss
