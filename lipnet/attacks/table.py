"""Every attack by its name in ``attack.names``, as ``lipnet.options.tasks`` registers it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipnet.options import tasks
from lipnet.options.registry import load_code
from lipnet.options.tasks import Attack, AttackMethod


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


def _loaded(method: AttackMethod) -> InBall | Nearest:
    attack = load_code(method.code)
    wanted = list(inspect.signature(attack).parameters)[3:]  # beside model, images and labels

    def in_ball(
        model: nn.Module, images: Tensor, labels: Tensor, radius: float, options: Attack, generator: torch.Generator
    ) -> Tensor:
        known = vars(options) | {"radius": radius, "generator": generator}
        return attack(model, images, labels, **{key: known[key] for key in wanted})

    def nearest(
        model: nn.Module, images: Tensor, labels: Tensor, options: Attack, generator: torch.Generator, sought: Tensor
    ) -> Tensor:
        known = vars(options) | {"generator": generator, "sought": sought}
        return attack(model, images, labels, **{key: known[key] for key in wanted})

    return Nearest(nearest) if method.nearest else InBall(in_ball)


ATTACKS: dict[str, InBall | Nearest] = {name: _loaded(method) for name, method in tasks.ATTACKS.items()}


def attack_named(name: str) -> InBall | Nearest:
    """The attack of this name, which a plugin may have registered since."""
    if name not in ATTACKS:
        ATTACKS[name] = _loaded(tasks.ATTACKS[name])
    return ATTACKS[name]
