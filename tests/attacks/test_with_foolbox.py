import logging

import numpy
import pytest
import torch
from torch import nn

from lipnet.attacks import with_foolbox
from lipnet.certify import margins

pytest.importorskip("eagerpy", reason="foolbox is not installed")

SHAPE = (1, 4, 4)
ATTACKS = {"boundary": with_foolbox.boundary, "pointwise": with_foolbox.pointwise}


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    foolbox = with_foolbox._foolbox()
    original = foolbox.attacks.BoundaryAttack
    monkeypatch.setattr(foolbox.attacks, "BoundaryAttack", lambda: original(steps=300))


def _network():
    torch.manual_seed(0)
    weight = torch.linalg.qr(torch.randn(16, 3)).Q.mT
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).requires_grad_(False)
    model[1].weight.copy_(weight)
    model[1].bias.copy_(-weight @ torch.full((16,), 0.5))
    return model


def _run(name, images, labels, model=None):
    return ATTACKS[name](model or _network(), images, labels, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ATTACKS)
def test_found_images_are_errors_in_the_box(name):
    model, images = _network(), torch.rand(10, *SHAPE)
    logits = model(images)
    labels = logits.argmax(1)
    found = _run(name, images, labels)
    assert (margins(model(found), labels) < 0).all()
    assert found.min() >= 0
    assert found.max() <= 1
    distance = (found - images).flatten(1).norm(dim=1)
    assert (distance >= margins(logits, labels) / 2**0.5 - 1e-6).all()  # the exact one; the box may add to it
    between = torch.cdist(images.flatten(1), images.flatten(1))
    starts = between.masked_fill(labels[:, None] == labels, torch.inf).amin(1)
    assert (distance <= 1.001 * starts).all()
    assert (distance < 0.9 * starts).any()


@pytest.mark.parametrize("name", ATTACKS)
def test_the_same_seed_finds_the_same_and_nothing_outside_notices(name):
    model, images = _network(), torch.rand(4, *SHAPE)
    labels = model(images).argmax(1)
    drawn = []
    for attacked in (False, True):
        torch.manual_seed(5)
        numpy.random.seed(5)
        first = _run(name, images, labels, model) if attacked else None
        drawn.append((float(torch.rand(1)), float(numpy.random.rand())))
    assert drawn[0] == drawn[1]
    assert logging.root.manager.disable == 0
    assert torch.equal(first, _run(name, images, labels, model))


def test_without_an_image_to_start_from_nothing_is_found():
    images = torch.rand(3, *SHAPE)
    with torch.no_grad():
        label = int(_network()(images).argmax(1)[0])
    alone = images[:1]
    assert torch.equal(_run("boundary", alone, torch.tensor([label])), alone)
