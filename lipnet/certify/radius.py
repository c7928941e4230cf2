"""Certified radii from margins and Lipschitz bounds (Tsuzuki et al. 2018; Li et al. 2019, section 2)."""

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn

# An allowance for the forward pass' rounding where nothing is known of the network: this many ulps of the largest logit
# (1e-9 in float64; 2^10 ulps in float32). ``certify`` proves one.
_ROUNDING_ULPS = 2.0**22


class Examples(Protocol):
    """A tensor ``(examples, ...)``, or what gives its rows when they are asked for."""

    @property
    def shape(self) -> torch.Size: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def device(self) -> torch.device: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Tensor: ...


def class_numbers(labels: Tensor, logits: Tensor) -> Tensor:
    """The labels of ``(examples, classes)`` logits as torch's own indices: int64, on the logits' device.

    Raises:
        ValueError: logits or labels are of another shape, or the labels are not the numbers of classes.
    """
    if logits.dim() != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits must be (examples, classes), got {tuple(logits.shape)}")
    examples, classes = logits.shape
    if labels.shape != (examples,):
        raise ValueError(f"labels must be one for each of the {examples} examples, got {tuple(labels.shape)}")
    if labels.dtype is torch.bool or labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"labels must be whole numbers, the numbers of classes, got {labels.dtype}")
    indices = labels.to(logits.device, torch.int64)
    outside = labels[(indices < 0) | (indices >= classes)]
    if len(outside):
        raise ValueError(f"labels must be from 0 to {classes - 1} for {classes} classes, got {outside[0]}")
    return indices


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """``z_y - max_{j != y} z_j`` of each example, ``(examples,)``; negative where the prediction is wrong.

    Raises:
        ValueError: as ``class_numbers``.
    """
    labels = class_numbers(labels, logits)
    true = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -math.inf)
    return true - others.amax(1)


def certified_radii(logits: Tensor, labels: Tensor, lipschitz: float, slack: Tensor | None = None) -> Tensor:
    """L2 radii within which the prediction is proved to stay ``labels``, float64 ``(examples,)``.

    ``(z_y - max_{j != y} z_j - slack) / (sqrt(2) L)``, and 0 where that is not positive: two logits of an L-Lipschitz
    network differ by an ``L sqrt(2)``-Lipschitz function. A tie is no prediction, so its radius is 0.

    Args:
        logits: ``(examples, classes)``, float32 or float64; lower precisions are refused.
        labels: ``(examples,)`` true classes, of any integer type.
        lipschitz: an upper bound on the network's constant, from ``lipschitz_bound``.
        slack: ``(examples,)``, what rounding may have taken from a difference of two logits. ``certify`` gives proved
            ones; without it a generous, unproved allowance is made.

    Raises:
        ValueError: as ``class_numbers``; a Lipschitz bound that is not positive.
    """
    if not lipschitz > 0:
        raise ValueError(f"certified_radii needs a Lipschitz bound > 0, got {lipschitz}")
    slack = _slack(logits, slack)
    return _outward((margins(logits.double(), labels) - slack) / any_pair(lipschitz))


def any_pair(lipschitz: float) -> float:
    """``sqrt(2) L``, rounded up: a bound for the difference of any two outputs of an L-Lipschitz network."""
    return math.sqrt(2) * math.nextafter(lipschitz, math.inf)  # the square root is already above the true one


def pairwise_certified_radii(logits: Tensor, labels: Tensor, constants: Tensor, slack: Tensor | None = None) -> Tensor:
    """L2 radii within which the prediction is proved to stay ``labels``, from a constant for each pair of classes.

    ``min_{j != y} (z_y - z_j - slack) / C_yj``, and 0 where that is not positive (Singla et al. 2022, arXiv
    2108.04062). Never below ``certified_radii`` where ``constants`` are from ``pairwise_lipschitz_bounds``.

    Args:
        logits, labels, slack: as for ``certified_radii``.
        constants: ``(classes, classes)``; entry i, j is an upper bound on the constant of ``z_i - z_j``, > 0.
    """
    classes = logits.shape[1]
    if constants.shape != (classes, classes) or not bool((constants > 0).all()):
        raise ValueError(
            f"pairwise_certified_radii needs constants > 0 of shape ({classes}, {classes}), one for each pair of "
            f"classes, got {tuple(constants.shape)}"
        )
    labels = class_numbers(labels, logits)
    slack = _slack(logits, slack)
    logits = logits.double()
    gaps = logits.gather(1, labels[:, None]) - logits - slack[:, None]
    radii = gaps / constants.to(logits)[labels]
    return _outward(radii.scatter(1, labels[:, None], math.inf).amin(1))


def signed_radii(logits: Tensor, constants: Tensor, slack: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds on ``min_{j != k} (z_k - z_j) / C_kj`` of each class k, float64 ``(examples, classes)`` both.

    Args:
        logits: ``(examples, classes)``, as computed.
        constants: ``(classes, classes)``, > 0.
        slack: ``(examples,)``, what rounding may have changed a difference of two logits by.
    """
    logits, slack = logits.double(), slack[:, None]
    lower: list[Tensor] = []
    upper: list[Tensor] = []
    for number, own in enumerate(constants.to(logits)):  # class by class: of all pairs at once there may be too many
        gaps = logits[:, number, None] - logits
        for found, moved in ((lower, gaps - slack), (upper, gaps + slack)):
            radii = moved / own
            radii[:, number] = math.inf
            found.append(radii.amin(1))
    low, high = torch.stack(lower, dim=1), torch.stack(upper, dim=1)
    # One ulp for the division; of a network that diverged nothing is known.
    low = torch.nextafter(low, torch.full_like(low, -math.inf)).nan_to_num(-math.inf, math.inf, -math.inf)
    high = torch.nextafter(high, torch.full_like(high, math.inf)).nan_to_num(math.inf, math.inf, -math.inf)
    return low, high


def _slack(logits: Tensor, proved: Tensor | None) -> Tensor:
    """What rounding may have added to the difference of two logits of an example, float64 ``(examples,)``."""
    if logits.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"certified radii need float32 or float64 logits, got {logits.dtype}: it rounds too coarsely")
    if proved is not None:
        return proved
    precision = torch.finfo(logits.dtype).eps
    ulps = _ROUNDING_ULPS if precision < 1e-10 else 2.0**10
    return ulps * precision * logits.double().abs().amax(1).clamp_min(1.0)


def _outward(radii: Tensor) -> Tensor:
    """One ulp down for the division; NaN and infinity (a network that diverged) certify nothing."""
    return torch.nextafter(radii, torch.zeros_like(radii)).nan_to_num(0.0, 0.0, 0.0).clamp_min(0.0)


@torch.no_grad()
def model_logits(model: nn.Module, inputs: Examples, rows: Tensor | None = None) -> Tensor:
    """Logits of all inputs, or of some rows, batch by batch."""
    if rows is None:
        rows = torch.arange(len(inputs), device=inputs.device)
    return torch.cat([model(inputs[batch]) for batch in rows.split(at_once(inputs.device, inputs.dtype))])


def at_once(device: torch.device, dtype: torch.dtype) -> int:
    """How many examples to evaluate at once.

    On a CPU few enough that what passes between the layers of the paper's networks stays in the caches: 500 images take
    BCOP-Large 1.7 times as long, each.
    """
    return 512 // dtype.itemsize if device.type == "cpu" else 512
