"""AutoAttack (Croce & Hein 2020, arXiv 2003.01690) by its authors' package pyautoattack, which is optional."""

import importlib

import torch
from torch import Tensor, nn

from lipnet.attacks.gradient import project
from lipnet.attacks.isolation import isolated
from lipnet.certify.radius import at_once


def autoattack(model: nn.Module, images: Tensor, labels: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """The standard version in L2: APGD-CE, APGD-T, FAB-T and Square, each on what the ones before it left.

    Thousands of passes an example that withstands it: for hundreds of examples, not for a test split.

    Args:
        model, images, labels, radius: as for ``pgd``; at least four classes.

    Returns:
        Images in [0, 1] within the radius; the image itself where no error was found.
    """
    if not len(images):
        return images
    package = importlib.import_module("pyautoattack")
    with isolated(generator) as seed:
        # A hair inside: its own projection rounds.
        attack = package.AutoAttack(
            model, norm="L2", eps=radius * (1 - 1e-5), version="standard", seed=seed, device=images.device
        )
        others = min(9, model(images[:1]).shape[1] - 1)  # its target classes are nine, however few there are
        attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = others
        found, _ = attack.run_standard_evaluation(images, labels, batch_size=at_once(images.device, images.dtype))
    return project(found.detach(), images, radius)
