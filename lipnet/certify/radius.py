"""Certified radii from margins and a Lipschitz bound (Tsuzuki et al. 2018; Li et al. 2019, section 2)."""

import math

import torch
from torch import Tensor, nn

# The forward pass rounds. Its error relative to the largest logit stays below this many ulps of the arithmetic for
# networks of the sizes here (1e-9 in float64); a margin must exceed it before any radius is granted.
_ROUNDING_ULPS = 2.0**22


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """``z_y - max_{j != y} z_j`` of each example, ``(examples,)``; negative where the prediction is wrong."""
    true = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -math.inf)
    return true - others.amax(1)


def certified_radii(logits: Tensor, labels: Tensor, lipschitz: float) -> Tensor:
    """L2 radii within which the prediction is proved to stay ``labels``, float64 ``(examples,)``.

    ``(z_y - max_{j != y} z_j - slack) / (sqrt(2) L)``, and 0 where that is not positive: two logits of an L-Lipschitz
    network differ by an ``L sqrt(2)``-Lipschitz function. A tie is no prediction, so its radius is 0.

    Args:
        logits: ``(examples, classes)``, float32 or float64; lower precisions are refused.
        labels: ``(examples,)`` true classes.
        lipschitz: an upper bound on the network's constant, from ``lipschitz_bound``.
    """
    if logits.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"certified_radii needs float32 or float64 logits, got {logits.dtype}: it rounds too coarsely")
    if not lipschitz > 0:
        raise ValueError(f"certified_radii needs a Lipschitz bound > 0, got {lipschitz}")
    precision = torch.finfo(logits.dtype).eps
    logits = logits.double()
    ulps = _ROUNDING_ULPS if precision < 1e-10 else 2.0**10
    slack = ulps * precision * logits.abs().amax(1).clamp_min(1.0)
    radii = (margins(logits, labels) - slack) / (math.sqrt(2) * math.nextafter(lipschitz, math.inf))
    # One ulp down for the division and the square root; NaN (a network that diverged) certifies nothing.
    return torch.nextafter(radii, torch.zeros_like(radii)).nan_to_num(0.0, 0.0, 0.0).clamp_min(0.0)


@torch.no_grad()
def model_logits(model: nn.Module, inputs: Tensor, batch_size: int = 512) -> Tensor:
    """Logits of all inputs, batch by batch."""
    return torch.cat([model(batch) for batch in inputs.split(batch_size)])
