import pytest
import torch
from torch import nn

from lipnet.attacks import ddn
from lipnet.certify import margins

SHAPE = (3, 8, 8)
STEPS = 20


def linear(weight):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, len(weight))).requires_grad_(False)
    model[1].weight.copy_(weight)
    model[1].bias.copy_(-weight @ torch.full((192,), 0.5))
    return model


def orthonormal():
    return torch.linalg.qr(torch.randn(192, 10)).Q.mT


MODELS = {
    "orthonormal": orthonormal,
    "random": lambda: torch.randn(10, 192),
    "two classes": lambda: torch.randn(2, 192),
    "steep": lambda: 1e3 * orthonormal(),
    "flat": lambda: 1e-3 * orthonormal(),
}


def exact_distances(model, images, labels):
    """``min_j |z_y - z_j| / |w_y - w_j|``, while no pixel leaves [0, 1]."""
    weight = model[1].weight.double()
    logits = images.double().flatten(1) @ weight.mT + model[1].bias.double()
    gaps, lengths = logits.gather(1, labels[:, None]) - logits, (weight[labels][:, None] - weight).norm(dim=2)
    return (gaps / lengths).scatter(1, labels[:, None], torch.inf).amin(1)


def distance(found, images):
    return (found.double() - images.double()).flatten(1).norm(dim=1)


@pytest.mark.parametrize("make_weight", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("scale", [0.02, 0.1])
def test_the_distance_on_linear_networks_is_the_closed_form(make_weight, scale):
    model, images = linear(make_weight()), (0.5 + scale * torch.randn(64, *SHAPE)).clamp(0, 1)
    labels = model(images).argmax(1)
    found = ddn(model, images, labels, STEPS)
    assert (margins(model(found), labels) < 0).all()
    ratio = distance(found, images) / exact_distances(model, images, labels)
    far = exact_distances(model, images, labels) > 1e-3
    assert far.sum() > 50
    assert float(ratio[far].min()) >= 1
    assert float(ratio[far].median()) < 1.005
    assert float(ratio[far].quantile(0.9)) < 1.05  # the runner-up is not always the nearest class


def test_the_box_is_kept_and_costs_distance():
    """From black images only the positive part of the direction is of use: exact again, from that part alone."""
    weight = torch.randn(2, 192)
    model, images = linear(weight), torch.zeros(8, *SHAPE)
    model[1].bias.copy_(torch.tensor([1.0, 0.0]))
    found = ddn(model, images, torch.zeros(8, dtype=torch.int64), 100)
    assert found.min() == 0
    assert found.max() <= 1
    exact = 1 / float((weight[1] - weight[0]).clamp_min(0).norm())
    assert float(distance(found, images).max()) == pytest.approx(exact, rel=0.01)


def test_found_images_are_misclassified_or_the_image_itself():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 10)).requires_grad_(False)
    model[3].weight *= 5
    images = torch.rand(40, *SHAPE)
    labels = model(images).argmax(1)
    found = ddn(model, images, labels, STEPS)
    moved = distance(found, images) > 0
    assert moved.any()
    assert (margins(model(found), labels)[moved] < 0).all()
    assert found.min() >= 0
    assert found.max() <= 1
    more = ddn(model, images, labels, 200)
    assert float(distance(more, images)[moved].median()) <= 1.01 * float(distance(found, images)[moved].median())


def test_a_misclassified_image_is_its_own_nearest_error():
    model, images = linear(orthonormal()), torch.rand(5, *SHAPE)
    wrong = (model(images).argmax(1) + 1) % 10
    assert torch.equal(ddn(model, images, wrong, 5), images)


def test_a_constant_network_has_no_errors():
    model = linear(torch.zeros(3, 192))
    model[1].bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    images = torch.rand(4, *SHAPE)
    assert torch.equal(ddn(model, images, torch.zeros(4, dtype=torch.int64), 5), images)


def test_no_image_at_all():
    found = ddn(linear(orthonormal()), torch.zeros(0, *SHAPE), torch.zeros(0, dtype=torch.int64), 3)
    assert found.shape == (0, *SHAPE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_images_are_left_alone(dtype):
    model, images = linear(orthonormal()).to(dtype), torch.rand(4, *SHAPE, dtype=dtype)
    before = images.clone()
    found = ddn(model, images, model(images).argmax(1), 5)
    assert found.dtype == dtype
    assert not found.requires_grad
    assert torch.equal(images, before)


@pytest.mark.parametrize(("within", "furthest"), [(0.02, 0.05), (0.0, torch.inf), (0.05, 0.05)])
def test_a_search_ends_once_it_is_decided(within, furthest):
    """On the same side of both distances as a search to the end, and exact where nothing is decided early."""
    model, images = linear(orthonormal()), (0.5 + 0.02 * torch.randn(64, *SHAPE)).clamp(0, 1)
    labels = model(images).argmax(1)
    full = distance(ddn(model, images, labels, STEPS), images)
    found = ddn(model, images, labels, STEPS, torch.tensor([[within, furthest]]).expand(64, 2))
    early, exact = distance(found, images), exact_distances(model, images, labels)
    near, far = exact < 0.98 * within, exact > 1.02 * furthest
    if within:
        assert near.sum() > 5
        assert (early[near] <= within).all()
    assert ((early[far] == 0) | (early[far] > furthest)).all()
    between = ~near & ~far & (full > within) & (exact < 0.9 * furthest)
    assert torch.equal(early[between], full[between])
