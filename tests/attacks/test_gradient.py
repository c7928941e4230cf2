import itertools

import pytest
import torch
from torch import nn

from lipnet.attacks import fgsm, gradient, pgd, pgd_paper
from lipnet.attacks.gradient import lowest_signed_radii, project, random_start
from lipnet.certify import margins

SHAPE = (1, 4, 4)


def run_fgsm(model, images, labels, radius):
    return fgsm(model, images, labels, radius)


def run_pgd(model, images, labels, radius, steps=20, restarts=2, seed=0):
    return pgd(model, images, labels, radius, steps, restarts, torch.Generator().manual_seed(seed))


ATTACKS = [pytest.param(run_fgsm, id="fgsm"), pytest.param(run_pgd, id="pgd")]


def linear_classifier(weight):
    model = nn.Sequential(nn.Flatten(), nn.Linear(weight.shape[1], weight.shape[0]))
    model[1].weight.data = weight
    model[1].bias.data = -weight @ torch.full(weight.shape[1:], 0.5)  # the boundaries meet near mid-grey
    return model


def two_classes():
    return linear_classifier(torch.randn(2, 16))


def orthonormal_classes():
    """All boundaries are as steep, so the runner-up is also the nearest class, and one straight step is optimal."""
    return linear_classifier(3 * torch.linalg.qr(torch.randn(16, 10)).Q.mT)


def random_classes():
    return linear_classifier(torch.randn(10, 16))


def small_network(shape=SHAPE, classes=4):
    inputs = torch.Size(shape).numel()
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 24), nn.Tanh(), nn.Linear(24, classes)).requires_grad_(False)


def images_near_grey(count):
    return 0.5 + 0.05 * torch.randn(count, *SHAPE)


@torch.no_grad()
def distances(model, images, labels):
    """``min_j (z_y - z_j) / |w_y - w_j|``, exact for linear models while no pixel leaves [0, 1]."""
    logits, weight = model(images).double(), model[1].weight.double()
    gaps, lengths = logits.gather(1, labels[:, None]) - logits, (weight[labels][:, None] - weight).norm(dim=2)
    return (gaps / lengths).scatter(1, labels[:, None], torch.inf).amin(1).tolist()


def successes(attack, model, factor, count=12):
    """Whether each example is misclassified after an attack at ``factor`` times its exact distance."""
    images = images_near_grey(count)
    labels = model(images).argmax(1)
    found = []
    for image, label, distance in zip(images.split(1), labels.split(1), distances(model, images, labels), strict=True):
        assert 0 < distance < 0.3  # the box is far away
        found.append(bool(margins(model(attack(model, image, label, factor * distance)), label) < 0))
    return found


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("make_model", [two_classes, orthonormal_classes])
def test_attack_succeeds_just_outside_the_exact_distance(attack, make_model):
    assert all(successes(attack, make_model(), 1.02))


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("make_model", [two_classes, orthonormal_classes, random_classes])
def test_attack_never_succeeds_inside_the_exact_distance(attack, make_model):
    assert not any(successes(attack, make_model(), 0.999))


IMAGES = {
    "interior": lambda: 0.2 + 0.6 * torch.rand(16, 3, 16, 16),
    "black": lambda: torch.zeros(4, 3, 16, 16),
    "white": lambda: torch.ones(4, 3, 16, 16),
    "black and white": lambda: torch.randint(2, (16, 3, 16, 16)).float(),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("make_images", list(IMAGES.values()), ids=list(IMAGES))
@pytest.mark.parametrize("radius", [1e-3, 0.01, 36 / 255, 1.58, 100.0])
def test_found_images_stay_in_the_ball_and_the_box(attack, make_images, radius):
    images, model = make_images(), small_network((3, 16, 16))
    before = images.clone()
    found = attack(model, images, model(images).argmax(1), radius)
    change = (found.double() - images.double()).flatten(1).norm(dim=1)
    assert (change <= radius).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.shape == images.shape
    assert found.dtype == images.dtype
    assert torch.equal(images, before)


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_moves_by_its_radius_where_it_can(attack):
    model, images = two_classes(), images_near_grey(8)
    found = attack(model, images, model(images).argmax(1), 0.1)
    torch.testing.assert_close((found - images).flatten(1).norm(dim=1), torch.full((8,), 0.1), rtol=1e-4, atol=0)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("radius", [0.01, 1.0])
def test_misclassified_examples_stay_misclassified(attack, radius):
    model, images = random_classes(), images_near_grey(20)
    wrong = (model(images).argmax(1) + 1) % 10
    assert (margins(model(attack(model, images, wrong, radius)), wrong) < 0).all()


def test_pgd_never_returns_more_margin_than_the_image_has():
    model, images, labels = small_network(), torch.rand(30, *SHAPE), torch.randint(4, (30,))
    for radius in (0.0, 0.05, 0.5, 5.0):
        found = margins(model(run_pgd(model, images, labels, radius)), labels)
        assert (found <= margins(model(images), labels) + 1e-5).all()


def test_same_generator_gives_the_same_images():
    model, images = small_network(), torch.rand(10, *SHAPE)
    labels = model(images).argmax(1)
    first = run_pgd(model, images, labels, 0.05, seed=1)
    torch.manual_seed(12345)  # the global generator has no say
    assert torch.equal(first, run_pgd(model, images, labels, 0.05, seed=1))
    assert not torch.equal(run_pgd(model, images, labels, 0.05, steps=1, restarts=4, seed=1), first)


def test_more_restarts_never_give_a_higher_margin():
    model, images = small_network(), torch.rand(30, *SHAPE)
    model[1].weight *= 8  # strongly nonlinear, so that the start matters
    labels = model(images).argmax(1)
    lowest = [margins(model(run_pgd(model, images, labels, 0.4, 4, restarts)), labels) for restarts in (1, 2, 4, 8)]
    for fewer, more in itertools.pairwise(lowest):
        assert (more <= fewer + 1e-5).all()
    assert (lowest[-1] < lowest[0] - 1e-3).any()


@pytest.mark.parametrize("attack", ATTACKS)
def test_gradient_of_zero_gives_no_nan(attack):
    model = linear_classifier(torch.zeros(3, 16))
    images = images_near_grey(4)
    found = attack(model, images, torch.zeros(4, dtype=torch.int64), 0.5)
    assert torch.isfinite(found).all()
    assert ((found - images).flatten(1).norm(dim=1) <= 0.5).all()


@pytest.mark.parametrize("attack", ATTACKS)
def test_model_is_left_without_gradients(attack):
    model, images = two_classes(), images_near_grey(4)
    with torch.no_grad():
        found = attack(model, images, torch.zeros(4, dtype=torch.int64), 0.1)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not found.requires_grad
    assert not images.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("radius", [1e-3, 0.3, 2.0])
def test_project_is_onto_ball_and_box(radius, dtype):
    origin = torch.rand(50, 3, 8, 8, dtype=dtype)
    images = origin + 2 * torch.rand(50, 1, 1, 1, dtype=dtype) * torch.randn(50, 3, 8, 8, dtype=dtype)
    projected = project(images, origin, radius)
    assert ((projected.double() - origin.double()).flatten(1).norm(dim=1) <= radius).all()
    assert projected.min() >= 0
    assert projected.max() <= 1
    torch.testing.assert_close(project(projected, origin, radius), projected, rtol=0, atol=2e-6)


def test_project_keeps_what_is_inside_and_the_direction_of_what_is_not():
    origin = torch.full((3, *SHAPE), 0.5, dtype=torch.float64)
    change = 0.01 * torch.randn(3, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close(project(origin + change, origin, 1.0), origin + change)
    torch.testing.assert_close(project(origin, origin, 1.0), origin)
    shrunk = project(origin + change, origin, 0.001) - origin
    expected = 0.001 * change / change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    torch.testing.assert_close(shrunk, expected, rtol=1e-5, atol=0)


def test_random_starts_are_uniform_in_the_ball():
    origin = torch.full((4000, 1, 1, 2), 0.5)
    starts = random_start(origin, 0.3, torch.Generator().manual_seed(0))
    change = (starts - origin).flatten(1)
    distance = change.norm(dim=1)
    assert (distance <= 0.3).all()
    assert float((distance < 0.15).double().mean()) == pytest.approx(0.25, abs=0.03)  # of the disc's area
    assert change.mean(0).abs().max() < 0.01
    assert float((change[:, 0] > 0).double().mean()) == pytest.approx(0.5, abs=0.03)


def test_random_starts_are_projected_onto_the_box():
    starts = random_start(torch.zeros(50, *SHAPE), 3.0, torch.Generator().manual_seed(0))
    assert starts.min() == 0
    assert starts.max() <= 1
    assert (starts.flatten(1).norm(dim=1) <= 3.0).all()


def test_a_restart_goes_for_another_class():
    """Class 1 is the runner-up but far away, as its boundary is flat; class 2 is near. A second restart finds it."""
    weight = torch.zeros(3, 16)
    weight[1, 0], weight[2, 1] = 0.1, 10.0
    model = linear_classifier(weight)
    model[1].bias.data += torch.tensor([0.5, 0.45, -0.5])  # margins 0.05 and 1, distances 0.5 and 0.1
    images, labels = torch.full((1, *SHAPE), 0.5), torch.zeros(1, dtype=torch.int64)
    one, two = (margins(model(run_pgd(model, images, labels, 0.12, 20, restarts)), labels) for restarts in (1, 2))
    assert one > 0 > two


def run_paper(model, images, labels, radius):
    return pgd_paper(model, images, labels, radius, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("radius", [0.05, 1.58])
def test_the_paper_s_attack_stays_in_the_ball_and_the_box(radius):
    images, model = torch.rand(6, *SHAPE), small_network()
    found = run_paper(model, images, model(images).argmax(1), radius)
    assert ((found.double() - images.double()).flatten(1).norm(dim=1) <= radius).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_paper_s_attack_finds_linear_boundaries():
    model = two_classes()
    assert all(successes(run_paper, model, 1.1, count=4))
    assert not any(successes(run_paper, model, 0.999, count=4))


def test_the_paper_s_steps_are_short():
    """Its path of 2 is not enough to leave a far start: at a small radius it ends where the gradient leads."""
    images, model = images_near_grey(4), two_classes()
    labels = model(images).argmax(1)
    found = run_paper(model, images, labels, 0.1)
    torch.testing.assert_close((found - images).flatten(1).norm(dim=1), torch.full((4,), 0.1), rtol=1e-4, atol=0)


def test_what_is_given_up_would_not_have_been_broken(monkeypatch):
    """Nonlinear networks of constant about 1: the same are broken as by descents that always run to their end."""
    model, images = small_network(), torch.rand(300, *SHAPE)
    labels, evaluated = model(images).argmax(1), [0, 0]
    evaluate, reach = gradient.margin_and_gradient, gradient.out_of_reach
    broken = []
    for number, rule in enumerate((reach, lambda margin, *_: torch.zeros_like(margin, dtype=torch.bool))):

        def count(model, images, *rest, number=number):
            evaluated[number] += len(images)
            return evaluate(model, images, *rest)

        monkeypatch.setattr(gradient, "margin_and_gradient", count)
        monkeypatch.setattr(gradient, "out_of_reach", rule)
        found = [run_pgd(model, images, labels, radius) for radius in (0.02, 0.1, 0.3)]
        broken.append([margins(model(image), labels) < 0 for image in found])
    assert 10 < sum(int(part.sum()) for part in broken[0]) < 800
    assert all(torch.equal(*pair) for pair in zip(*broken, strict=True))
    assert evaluated[0] < 0.6 * evaluated[1]


def test_out_of_reach_is_exact_on_linear_networks():
    model, images = two_classes(), images_near_grey(20)
    labels = model(images).argmax(1)
    exact = torch.tensor(distances(model, images, labels))
    for place in (images, images + 0.01 * torch.randn_like(images)):  # wherever in the ball it is linearised
        margin, slope = gradient.margin_and_gradient(model, place, labels)
        assert gradient.out_of_reach(margin, place - images, slope, 0.999 * exact).all()
        assert not gradient.out_of_reach(margin, place - images, slope, 1.001 * exact).any()


@pytest.mark.parametrize("targeted", [False, True])
def test_margins_and_gradients_do_not_depend_on_the_batch(monkeypatch, targeted):
    model, images, labels = small_network(), torch.rand(10, *SHAPE), torch.randint(4, (10,))
    targets = (labels + 1) % 4 if targeted else None
    whole = gradient.margin_and_gradient(model, images, labels, targets)
    monkeypatch.setattr(gradient, "at_once", lambda device, dtype: 3)
    parts = gradient.margin_and_gradient(model, images, labels, targets)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("radius", [0.05, 0.2])
def test_signed_radii_fall_by_all_of_the_radius_past_the_first_error(radius):
    """A linear network's, whose worst rival is met head-on: nothing stops where the label is no longer predicted."""
    torch.manual_seed(0)
    model, images = orthonormal_classes(), 0.4 + 0.2 * torch.rand(30, *SHAPE)
    labels, constants = model(images).argsort(1)[:, 7], torch.full((10, 10), 3 * 2**0.5)
    found = lowest_signed_radii(model, constants, images, labels, radius, 20, 2, torch.Generator().manual_seed(0))
    assert float((found - images).flatten(1).norm(dim=1).max()) <= radius
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    before, after = (margins(model(batch), labels) / (3 * 2**0.5) for batch in (images, found))
    assert bool((before < 0).all())
    assert bool((after >= before - radius * (1 + 1e-5)).all())
    torch.testing.assert_close(after, before - radius, atol=0.05 * radius, rtol=0)
