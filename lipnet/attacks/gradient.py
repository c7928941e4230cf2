"""Gradient attacks in an L2 ball, on images in [0, 1]."""

import math

import torch
from torch import Tensor, nn

from lipnet.certify.radius import at_once, margins, model_logits

_LITTLE = 0.05  # of an image's margin: where no more is left, another start often finds an error


def fgsm(model: nn.Module, images: Tensor, labels: Tensor, radius: float) -> Tensor:
    """One step of length ``radius`` down the margin's gradient, clamped to [0, 1] (Goodfellow et al. 2015, in L2)."""
    _, gradient = margin_and_gradient(model, images, labels)
    return project(images - radius * unit(gradient), images, radius)


def pgd(
    model: nn.Module, images: Tensor, labels: Tensor, radius: float, steps: int, restarts: int,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Projected gradient descent on the margin, with restarts; the best iterate of each example is kept.

    The first restart begins at the image and goes for whichever class is nearest. Restart r > 0 begins at a point drawn
    uniformly from the ball and goes for the class that is the image's (r + 1)-th likeliest wrong one. Where less than a
    twentieth of the image's margin is left, it begins at another such point too, for the nearest class; and a last
    descent begins at the best iterate, with half the steps, a quarter as long. The step length falls from ``radius`` to
    a twentieth of it. An example that is certainly misclassified is left alone from then on; a descent is given up
    where it cannot succeed to first order.

    Args:
        model: maps ``(batch, channels, height, width)`` in [0, 1] to logits, each example on its own.
        radius: L2, raw pixels; no returned image is further than this from its original.

    Returns:
        Images in [0, 1] with the lowest margin found for each example.
    """
    best, lowest = images, torch.full(labels.shape, torch.inf, dtype=images.dtype, device=images.device)

    def descend(rows: Tensor, start: Tensor, aim: int | None, length: float, steps: int) -> None:
        nonlocal best
        if not len(rows):
            return
        targets = None if aim is None else _wrong_class(model, images[rows], labels[rows], aim)
        found, margin = _descend(model, start, images[rows], labels[rows], targets, radius, length, steps)
        better = margin < lowest[rows]
        best = best.index_copy(0, rows[better], found[better])
        lowest[rows[better]] = margin[better]

    def left(share: float) -> Tensor:
        return ((lowest >= 0) & (lowest <= share * at_image)).nonzero()[:, 0]

    with torch.no_grad():
        at_image = margins(model_logits(model, images), labels)
    descend(torch.arange(len(images), device=images.device), images, None, radius, steps)
    for restart in range(1, restarts):
        for share, aim in ((math.inf, restart), (_LITTLE, None)):
            rows = left(share)
            descend(rows, random_start(images[rows], radius, generator), aim, radius, steps)
    rows = left(_LITTLE)
    descend(rows, best[rows], None, radius / 4, max(1, steps // 2))
    return best


def _descend(
    model: nn.Module, start: Tensor, origin: Tensor, labels: Tensor, targets: Tensor | None, radius: float,
    length: float, steps: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The best iterates and their margins; the first step is ``length``."""
    best, lowest = start.clone(), torch.full(labels.shape, torch.inf, dtype=start.dtype, device=start.device)
    active, current = torch.arange(len(start), device=start.device), start
    for step in range(steps + 1):
        aim = None if targets is None else targets[active]
        margin, gradient = margin_and_gradient(model, current, labels[active], aim)
        better = margin < lowest[active]
        lowest[active[better]], best[active[better]] = margin[better], current[better]
        right = margin >= 0
        if step >= patience(steps):
            right &= ~out_of_reach(margin, current - origin[active], gradient, radius)
        active = active[right]
        if not len(active):
            break
        move = length * 0.05 ** (step / max(1, steps - 1)) * unit(gradient)
        current = project((current - move)[right], origin[active], radius)
    return best, lowest


def patience(steps: int) -> int:
    """How many of its steps a search takes before it may be given up."""
    return max(3, steps // 6)


def out_of_reach(margin: Tensor, change: Tensor, gradient: Tensor, radius: float | Tensor) -> Tensor:
    """Whether the margin, linearised at ``change`` from an image, is positive in the whole ball around the image.

    No linear step can succeed there: the margin exceeds the gap by which a Frank-Wolfe descent stops. The box, which
    would only take from the ball, is left out.
    """
    return margin > (change * gradient).flatten(1).sum(1) + radius * norm(gradient).flatten()


@torch.no_grad()
def _wrong_class(model: nn.Module, images: Tensor, labels: Tensor, rank: int) -> Tensor:
    """The class whose logit is the ``rank``-th after the largest of the wrong ones, counted around."""
    wrong = model_logits(model, images).scatter(1, labels[:, None], -math.inf).argsort(1, descending=True)
    return wrong[:, rank % (wrong.shape[1] - 1)]


def pgd_paper(model: nn.Module, images: Tensor, labels: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """PGD as Li et al. 2019 ran it: 200 steps of 0.01 from one start, drawn uniformly in a box; the last iterate.

    Weaker than ``pgd`` at large radii, where the whole path is hardly longer than the radius; for comparisons with the
    paper's tables. Its loss, ``-relu(margin + 50)``, has no gradient below a margin of -50.
    """
    start = torch.rand(images.shape, generator=generator).to(images)
    current = (images + radius * (2 * start - 1)).clamp(0, 1)
    for _ in range(200):
        margin, gradient = margin_and_gradient(model, current, labels)
        step = 0.01 * unit(gradient) * for_each(margin > -50, images)
        current = project(current - step, images, radius)
    return current


def lowest_signed_radii(
    model: nn.Module, constants: Tensor, images: Tensor, labels: Tensor, radius: float, steps: int, restarts: int,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Projected gradient descent on ``min_{j != y} (z_y - z_j) / C_yj``, on and on past the first error.

    What drives a class out of a conformal set is not that it is no longer predicted, but how far it falls behind.

    Args:
        model: maps ``(batch, ...)`` in [0, 1] to logits, each example on its own.
        constants: ``(classes, classes)``, C.
        radius: L2; no returned image is further than this from its original.
        restarts: descents; the first begins at the image, the others at points drawn uniformly from the ball.

    Returns:
        Images in [0, 1] with the lowest value found for each example.
    """
    best, lowest = images.clone(), torch.full(labels.shape, math.inf, device=images.device)
    of_label = constants.to(images)[labels]
    for restart in range(restarts):
        current = random_start(images, radius, generator) if restart else images
        for step in range(steps + 1):
            values, gradient = _signed_radii_and_gradient(model, of_label, current, labels)
            better = values < lowest
            lowest, best = torch.where(better, values, lowest), torch.where(for_each(better, images), current, best)
            move = radius * 0.05 ** (step / max(1, steps - 1)) * unit(gradient)
            current = project(current - move, images, radius)
    return best


def _signed_radii_and_gradient(
    model: nn.Module, constants: Tensor, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    values, gradients = [], []
    size = at_once(images.device, images.dtype)
    for part, own, true in zip(images.split(size), constants.split(size), labels.split(size), strict=True):
        inputs = part.detach().clone().requires_grad_()
        with torch.enable_grad():
            logits = model(inputs)
            radii = (logits.gather(1, true[:, None]) - logits) / own
            value = radii.scatter(1, true[:, None], math.inf).amin(1)
            (gradient,) = torch.autograd.grad(value.sum(), inputs)
        values.append(value.detach())
        gradients.append(gradient)
    return torch.cat(values), torch.cat(gradients)


def margin_and_gradient(
    model: nn.Module, images: Tensor, labels: Tensor, targets: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Each example's margin, and its gradient or, with ``targets``, that of ``z_y - z_target``.

    The margin is raised by more than rounding usually takes from it: where it is negative, exact arithmetic finds an
    error too.
    """
    size = at_once(images.device, images.dtype)
    batches = images.detach().split(size)
    aims = [None] * len(batches) if targets is None else targets.split(size)
    parts = [_margin_and_gradient(model, *part) for part in zip(batches, labels.split(size), aims, strict=True)]
    return torch.cat([margin for margin, _ in parts]), torch.cat([gradient for _, gradient in parts])


def _margin_and_gradient(
    model: nn.Module, images: Tensor, labels: Tensor, targets: Tensor | None
) -> tuple[Tensor, Tensor]:
    images.requires_grad_()
    with torch.enable_grad():
        logits = model(images)
        margin = margins(logits, labels)
        aim = margin if targets is None else logits.gather(1, labels[:, None]) - logits.gather(1, targets[:, None])
        (gradient,) = torch.autograd.grad(aim.sum(), images)
    logits = logits.detach()
    return margin.detach() + 256 * torch.finfo(logits.dtype).eps * logits.abs().amax(1), gradient


def project(images: Tensor, origin: Tensor, radius: float) -> Tensor:
    """Onto the ball, then onto [0, 1], which brings each image nearer to its original, not further.

    The ball is smaller than ``radius`` by what rounding every pixel to the images' precision can add to the distance.
    """
    change = images - origin
    rounding = math.sqrt(origin.shape[1:].numel()) * torch.finfo(origin.dtype).eps / 2
    allowed = max(0.0, radius * (1 - 1e-6) - rounding)
    factor = (allowed / norm(change).clamp_min(1e-12)).clamp_max(1.0)
    return (origin + factor * change).clamp(0, 1)


def random_start(origin: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """Uniform in the ball, then projected onto [0, 1]."""
    direction = torch.randn(origin.shape, generator=generator).to(origin)
    dimension = origin.shape[1:].numel()
    length = radius * torch.rand(len(origin), generator=generator).to(origin) ** (1 / dimension)
    return project(origin + for_each(length, origin) * unit(direction), origin, radius)


def unit(images: Tensor) -> Tensor:
    """Each image divided by its norm; 0 stays 0."""
    return images / norm(images).clamp_min(1e-12)


def norm(images: Tensor) -> Tensor:
    """``(batch, 1, 1, 1)``, or of points ``(batch, 1)``."""
    return for_each(torch.linalg.vector_norm(images.flatten(1), dim=1), images)


def for_each(numbers: Tensor, images: Tensor) -> Tensor:
    """One number an example, with as many axes as the images."""
    return numbers.view(-1, *[1] * (images.dim() - 1))
