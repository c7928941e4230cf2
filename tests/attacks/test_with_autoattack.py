import importlib
import logging

import pytest
import torch
from torch import nn

from lipnet.attacks.with_autoattack import autoattack
from lipnet.certify import margins

pytest.importorskip("pyautoattack", reason="pyautoattack is not installed")

SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def _few_queries(monkeypatch):
    package = importlib.import_module("pyautoattack")
    original = package.AutoAttack._set_version

    def set_version(self, version):
        original(self, version)
        self.square.n_queries = 20

    monkeypatch.setattr(package.AutoAttack, "_set_version", set_version)


def _network():
    torch.manual_seed(0)
    weight = torch.linalg.qr(torch.randn(64, 5)).Q.mT
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5)).requires_grad_(False)
    model[1].weight.copy_(weight)
    model[1].bias.copy_(-weight @ torch.full((64,), 0.5))
    return model


def _run(model, images, labels, radius):
    return autoattack(model, images, labels, radius, torch.Generator().manual_seed(0))


def test_errors_are_found_just_outside_the_exact_distance_and_never_inside():
    """Orthonormal rows: the distance is the margin over the square root of two, while the box is far away."""
    model, images = _network(), 0.5 + 0.02 * torch.randn(12, *SHAPE)
    labels = model(images).argmax(1)
    radius = float((margins(model(images), labels) / 2**0.5).median())
    exact = margins(model(images), labels) / 2**0.5
    found = _run(model, images, labels, radius)
    broken = margins(model(found), labels) < 0
    assert broken[exact < 0.98 * radius].all()
    assert broken.sum() > 3
    assert not broken[exact > radius].any()
    assert ((found.double() - images.double()).flatten(1).norm(dim=1) <= radius).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_same_seed_finds_the_same_and_nothing_outside_notices():
    model, images = _network(), torch.rand(4, *SHAPE)
    labels = model(images).argmax(1)
    drawn = []
    for attacked in (False, True):
        torch.manual_seed(5)
        first = _run(model, images, labels, 0.1) if attacked else None
        drawn.append(float(torch.rand(1)))
    assert drawn[0] == drawn[1]
    assert logging.root.manager.disable == 0
    assert torch.equal(first, _run(model, images, labels, 0.1))


def test_no_image_at_all():
    assert _run(_network(), torch.zeros(0, *SHAPE), torch.zeros(0, dtype=torch.int64), 0.1).shape == (0, *SHAPE)
