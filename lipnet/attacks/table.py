"""Every attack by its name in ``attack.names``. A new one is a function, an entry here and its name in the schema."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipnet.attacks.gradient import fgsm, pgd, pgd_paper
from lipnet.attacks.minimal import ddn
from lipnet.attacks.with_autoattack import autoattack
from lipnet.attacks.with_foolbox import boundary, pointwise
from lipnet.options.tasks import Attack


@dataclass(frozen=True)
class InBall:
    """Looks for an error within a radius: ``find(model, images, labels, radius, options, generator) -> images``."""

    find: Callable[[nn.Module, Tensor, Tensor, float, Attack, torch.Generator], Tensor]


@dataclass(frozen=True)
class Nearest:
    """Looks for the nearest error; one run serves every radius.

    ``find(model, images, labels, options, generator, sought) -> images``; ``sought``, ``(batch, 2)``, says between
    which two distances the nearest error matters, and may be ignored.
    """

    find: Callable[[nn.Module, Tensor, Tensor, Attack, torch.Generator, Tensor], Tensor]


_FGSM = InBall(lambda model, images, labels, radius, options, generator: fgsm(model, images, labels, radius))

ATTACKS: dict[str, InBall | Nearest] = {
    "fgsm": _FGSM,
    "pgd": InBall(
        lambda model, images, labels, radius, options, generator: pgd(
            model, images, labels, radius, options.steps, options.restarts, generator
        )
    ),
    "ddn": Nearest(
        lambda model, images, labels, options, generator, sought: ddn(model, images, labels, options.ddn_steps, sought)
    ),
    "fgsm_paper": _FGSM,  # the paper's is one step from the image too
    "pgd_paper": InBall(
        lambda model, images, labels, radius, options, generator: pgd_paper(model, images, labels, radius, generator)
    ),
    "boundary": Nearest(
        lambda model, images, labels, options, generator, sought: boundary(model, images, labels, generator)
    ),
    "pointwise": Nearest(
        lambda model, images, labels, options, generator, sought: pointwise(model, images, labels, generator)
    ),
    "autoattack": InBall(
        lambda model, images, labels, radius, options, generator: autoattack(model, images, labels, radius, generator)
    ),
}
