"""Attacks of foolbox (Rauber et al. 2020), an optional package: they see predictions alone, and check the others."""

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy
import torch
from torch import Tensor, nn


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
    with _alone(int(torch.randint(2**31, (), generator=generator))):
        nearest = attack.run(inner, originals, labels[possible], starting_points=starts[possible])
    # They end on the boundary, up to float32; a ten-thousandth further out they are clearly beyond it.
    found[possible] = (originals + (1 + 1e-4) * (nearest - originals)).clamp(0, 1)
    return found


def _foolbox() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the scipy names that it imports
        return importlib.import_module("foolbox")


@contextlib.contextmanager
def _alone(seed: int) -> Iterator[None]:
    """foolbox draws from the global generators, which are put back afterwards, and writes to the root logger."""
    before, disabled = numpy.random.get_state(), logging.root.manager.disable
    logging.disable(logging.INFO)
    numpy.random.seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            yield
        finally:
            numpy.random.set_state(before)
            logging.disable(disabled)


@torch.no_grad()
def _starts(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """For each image the nearest other one that is predicted as another class, and whether there is one."""
    flat = images.flatten(1)
    distances = torch.cdist(flat, flat)
    distances[labels[:, None] == model(images).argmax(1)] = torch.inf
    nearest = distances.min(1)
    return images[nearest.indices].clone(), nearest.values.isfinite()
