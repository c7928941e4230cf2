"""Gradient attacks in an L2 ball, on images in [0, 1]."""

import math

import torch
from torch import Tensor, nn

from lipnet.certify.radius import margins


def fgsm(model: nn.Module, images: Tensor, labels: Tensor, radius: float) -> Tensor:
    """One step of length ``radius`` down the margin's gradient, clamped to [0, 1] (Goodfellow et al. 2015, in L2)."""
    _, direction = _margin_and_direction(model, images, labels)
    return project(images - radius * direction, images, radius)


def pgd(
    model: nn.Module, images: Tensor, labels: Tensor, radius: float, steps: int, restarts: int,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Projected gradient descent on the margin, with restarts; the best iterate of each example is kept.

    The first restart begins at the image, the others uniformly in the ball; the step length falls from ``radius`` to
    a twentieth of it. Later restarts go on with the examples that are still classified correctly.

    Args:
        model: maps ``(batch, channels, height, width)`` in [0, 1] to logits, each example on its own.
        radius: L2, raw pixels; no returned image is further than this from its original.

    Returns:
        Images in [0, 1] with the lowest margin found for each example.
    """
    best, lowest = images.clone(), torch.full(labels.shape, torch.inf, dtype=images.dtype, device=images.device)
    for restart in range(restarts):
        active = (lowest > 0).nonzero()[:, 0]
        if not len(active):
            break
        origin, true = images[active], labels[active]
        current = origin if restart == 0 else _random_start(origin, radius, generator)
        for step in range(steps + 1):
            margin, direction = _margin_and_direction(model, current, true)
            better = margin < lowest[active]
            lowest[active[better]], best[active[better]] = margin[better], current[better]
            length = radius * 0.05 ** (step / max(1, steps - 1))
            current = project(current - length * direction, origin, radius)
    return best


def _margin_and_direction(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Each example's margin and its gradient's unit vector."""
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        margin = margins(model(images), labels)
        (gradient,) = torch.autograd.grad(margin.sum(), images)
    return margin.detach(), gradient / _norm(gradient).clamp_min(1e-12)


def project(images: Tensor, origin: Tensor, radius: float) -> Tensor:
    """Onto the ball, then onto [0, 1], which brings each image nearer to its original, not further.

    The ball is smaller than ``radius`` by what rounding every pixel to the images' precision can add to the distance.
    """
    change = images - origin
    rounding = math.sqrt(origin.shape[1:].numel()) * torch.finfo(origin.dtype).eps / 2
    allowed = max(0.0, radius * (1 - 1e-6) - rounding)
    factor = (allowed / _norm(change).clamp_min(1e-12)).clamp_max(1.0)
    return (origin + factor * change).clamp(0, 1)


def _random_start(origin: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    direction = torch.randn(origin.shape, generator=generator).to(origin)
    dimension = origin.shape[1:].numel()
    length = radius * torch.rand(len(origin), generator=generator).to(origin) ** (1 / dimension)
    return project(origin + length.view(-1, 1, 1, 1) * direction / _norm(direction), origin, radius)


def _norm(images: Tensor) -> Tensor:
    return torch.linalg.vector_norm(images.flatten(1), dim=1).view(-1, 1, 1, 1)
