"""A minimal-norm attack: the nearest misclassified image. One run serves every radius."""

import math

import torch
from torch import Tensor, nn

from lipnet.attacks.gradient import for_each, margin_and_gradient, norm, out_of_reach, patience, unit


def ddn(model: nn.Module, images: Tensor, labels: Tensor, ddn_steps: int, sought: Tensor | None = None) -> Tensor:
    """Decoupled direction and norm (Rony et al. 2019, arXiv 1811.09600), in L2 and [0, 1].

    The perturbation's norm shrinks where the network errs and grows where it does not; its direction follows the
    margin's gradient. Three things differ from the paper, and make it exact within 1 % on linear networks in 20 steps:
    the first norm is the distance to the linearised boundary, steps are measured in norms (the paper's are absolute,
    for its radii), and the norm's change falls from 20 % to 1 % a step (the paper's is 5 % throughout).

    Args:
        model, images, labels: as for ``pgd``.
        ddn_steps: how many gradient steps.
        sought: ``(batch, 2)``: the search for an example ends once an error is no further than the first of its two
            distances, or where to first order none is within the second. ``None``: every search runs to its end.

    Returns:
        The nearest image found for each example that is certainly misclassified; the image itself where none was.
    """
    nearest, rows = images.clone(), torch.arange(len(images), device=images.device)
    origin = current = images
    distance = torch.full_like(norm(images), torch.inf)
    size = torch.zeros_like(distance)  # of the next perturbation
    for step in range(ddn_steps + 1):
        margin, gradient = margin_and_gradient(model, current, labels[rows])
        margin, change = for_each(margin, current), current - origin
        wrong, length = margin < 0, norm(change)
        better = wrong & (length < distance)
        found = better.flatten()
        nearest[rows[found]] = current[found]
        distance = torch.where(better, length, distance)
        if step == 0:
            size = (margin / norm(gradient).clamp_min(1e-12)).clamp(1e-6, math.sqrt(images.shape[1:].numel()))
        else:
            rate = 0.2 * 0.05 ** (step / ddn_steps)
            size = torch.where(wrong, torch.minimum(size, distance) * (1 - rate), size * (1 + rate))
        rate = 0.01 + 0.99 * (1 + math.cos(math.pi * step / ddn_steps)) / 2
        change = size * unit(change - rate * size * unit(gradient))
        if sought is not None:
            enough, furthest = sought[rows].T
            goes_on = distance.flatten() > enough
            if step >= patience(ddn_steps):
                goes_on &= ~out_of_reach(margin.flatten(), current - origin, gradient, furthest)
            rows, origin, change = rows[goes_on], origin[goes_on], change[goes_on]
            distance, size = distance[goes_on], size[goes_on]
            if not len(rows):
                break
        current = (origin + change).clamp(0, 1)
    return nearest
