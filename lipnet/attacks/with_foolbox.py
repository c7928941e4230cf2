"""Attacks of foolbox (Rauber et al. 2020), an optional package: they see predictions alone, and check the others."""

import importlib
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.attacks.isolation import isolated


def boundary(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """The boundary attack (Brendel et al. 2018) with foolbox's defaults: 25,000 steps along the decision boundary."""
    return _run("BoundaryAttack", model, images, labels, generator)


def pointwise(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """The pointwise attack (Schott et al. 2019) with foolbox's defaults: resets pixels, one after the other."""
    return _run("PointwiseAttack", model, images, labels, generator)


def _run(name: str, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """The nearest misclassified images found; the image itself where there was nothing to start from."""
    foolbox = _foolbox()
    starts, possible = _starts(model, images, labels)
    found = images.clone()
    if not bool(possible.any()):
        return found
    inner = foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device=images.device)
    attack = getattr(foolbox.attacks, name)()
    originals = images[possible]
    with isolated(generator):
        nearest = attack.run(inner, originals, labels[possible], starting_points=starts[possible])
    # They end on the boundary, up to float32; a ten-thousandth further out they are clearly beyond it.
    found[possible] = (originals + (1 + 1e-4) * (nearest - originals)).clamp(0, 1)
    return found


def _foolbox() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the scipy names that it imports
        return importlib.import_module("foolbox")


@torch.no_grad()
def _starts(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """For each image the nearest other one that is predicted as another class, and whether there is one."""
    flat = images.flatten(1)
    distances = torch.cdist(flat, flat)
    distances[labels[:, None] == model(images).argmax(1)] = torch.inf
    nearest = distances.min(1)
    return images[nearest.indices].clone(), nearest.values.isfinite()
