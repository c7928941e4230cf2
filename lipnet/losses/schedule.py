"""How the radius that a loss asks for moves through training."""

import math
from typing import Any


def scheduled(option: Any) -> bool:
    """Whether the radius moves."""
    return getattr(option, "schedule", "constant") != "constant"


def epsilon_at(option: Any, share: float) -> float:
    """The radius after a share of all steps, 0 at the first and 1 after the last one.

    ``epsilon (from + (to - from) s(min(1, share / until)))`` with ``s(t) = t`` (``linear``) or ``(1 - cos(pi t)) / 2``
    (``cosine``); ``epsilon`` itself where the schedule is ``constant``, or the loss has none.
    """
    if not scheduled(option):
        return float(getattr(option, "epsilon", 0.0))
    time = min(1.0, share / option.schedule_until)
    done = time if option.schedule == "linear" else (1 - math.cos(math.pi * time)) / 2
    factor: float = option.schedule_from + (option.schedule_to - option.schedule_from) * done
    return float(option.epsilon) * factor
