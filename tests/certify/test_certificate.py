import math

import pytest
import torch
from torch import nn

from lipnet import to_plain
from lipnet.certify import certified_radii, certify, lipschitz_bound, margins
from lipnet.layers import BCOPConv2d, MaxMin, Normalize, OrthogonalLinear, UnitRowLinear

ARITHMETICS = [None, torch.float64, torch.float32]


def network(head=OrthogonalLinear):
    torch.manual_seed(0)
    model = nn.Sequential(
        Normalize([0.5], [0.25]), BCOPConv2d(1, 8, 4, stride=2), MaxMin(), nn.Flatten(), head(8 * 4 * 4, 5)
    )
    return to_plain(model.eval()).requires_grad_(False)


@pytest.fixture
def examples():
    images = torch.rand(60, 1, 8, 8)
    return images, network().double()(images.double()).argmax(1)


def test_radii_are_margins_over_the_constant_but_for_rounding(examples):
    model = network().double()
    found = certify(model, *examples)
    plain = found.radii_without_allowance()
    expected = found.margins / (math.sqrt(2) * lipschitz_bound(model, (1, 8, 8)))
    torch.testing.assert_close(plain, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.radii(), plain, rtol=0, atol=1e-11)
    torch.testing.assert_close(found.radii(torch.float64), plain, rtol=0, atol=1e-11)
    torch.testing.assert_close(found.radii(torch.float32), plain, rtol=0, atol=1e-2)


class Asked:
    """Examples that remember how many of them were asked for at once."""

    def __init__(self, images):
        self.images, self.most = images, 0
        self.shape, self.dtype, self.device = images.shape, images.dtype, images.device

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        found = self.images[rows]
        self.most = max(self.most, len(found))
        return found


def test_examples_are_asked_for_batch_by_batch(examples):
    images, labels = examples
    asked, model = Asked(images), network().double()
    found = certify(model, asked, labels, batch_size=7)
    assert asked.most == 7
    assert torch.equal(found.logits, certify(model, images, labels, batch_size=7).logits)


def test_coarser_promises_are_smaller(examples):
    double, single = certify(network().double(), *examples), certify(network(), *examples)
    exact, fine, coarse = (double.radii(dtype) for dtype in ARITHMETICS)
    for larger, smaller in ((exact, fine), (fine, coarse), (coarse, single.radii(torch.float32))):
        assert bool((larger >= smaller).all())
        assert bool((larger > smaller).any())
    assert float(coarse.sum()) > 0.5 * float(exact.sum())  # and not 0


def test_radii_per_pair_are_never_lower(examples):
    for dtype in ARITHMETICS:
        found = certify(network(UnitRowLinear).double(), *examples)
        assert bool((found.radii_per_pair(dtype) >= found.radii(dtype)).all())


@pytest.mark.parametrize("head", [OrthogonalLinear, UnitRowLinear])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_input_on_the_certified_sphere_is_misclassified(examples, head, dtype):
    """Steepest directions, to the last float inside the radius, in the arithmetic that is promised."""
    images, _ = examples
    double, model = network(head).double(), network(head).to(dtype)
    labels = double(images.double()).argmax(1)
    radii = certify(double, images, labels).radii_per_pair(dtype)
    assert bool((radii > 0).sum() > 40)
    points = images.double().requires_grad_()
    (gradient,) = torch.autograd.grad(margins(double(points), labels).sum(), points)
    for direction in (-gradient, *(torch.randn_like(gradient) for _ in range(10))):
        step = (radii / direction.flatten(1).norm(dim=1)).view(-1, 1, 1, 1) * direction
        moved = (images.double() + step).to(dtype)
        inside = (moved.double() - images.double()).flatten(1).norm(dim=1) <= radii
        assert bool((margins(model(moved), labels)[inside] > 0).all())
        assert dtype is torch.float32 or bool(inside.any())


def test_a_rounding_error_is_no_margin():
    """The margin is what float32 loses of a sum: in exact arithmetic it is a tie."""
    linear = nn.Linear(3, 2, bias=False).requires_grad_(False)
    linear.weight.copy_(torch.tensor([[1.0, 2.0**-25, -(2.0**-25)], [1.0, 0.0, 0.0]]))
    biased = nn.Sequential(linear, nn.Linear(2, 2).requires_grad_(False))
    biased[1].weight.copy_(torch.eye(2))
    biased[1].bias.copy_(torch.tensor([2.0**-24, 0.0]))
    inputs, labels = torch.ones(1, 3), torch.tensor([0])
    assert float(certify(biased.double(), inputs, labels).radii()) > 0
    assert float(certify(biased.float(), inputs, labels).radii(torch.float32)) == 0


@pytest.mark.parametrize("scale", [1e36, 3e37, 3e38])
def test_numbers_that_may_overflow_certify_nothing(scale):
    linear = nn.Linear(2, 2, bias=False).requires_grad_(False)
    linear.weight.copy_(scale * torch.tensor([[1.0, 0.0], [0.0, 0.5]]))
    found = certify(linear.double(), torch.tensor([[5.0, 1.0]]), torch.tensor([0]))
    assert float(found.radii()) > 0
    assert float(found.radii(torch.float64)) > 0
    assert (float(found.radii(torch.float32)) > 0) == (scale < 1e37)


def test_ties_and_errors_have_no_radius():
    linear = nn.Linear(2, 3).requires_grad_(False)
    linear.weight.zero_()
    linear.bias.zero_()
    for dtype in (torch.float32, torch.float64):
        found = certify(linear.to(dtype), torch.rand(3, 2), torch.tensor([0, 1, 2]))
        assert found.radii(dtype).tolist() == found.radii_per_pair(dtype).tolist() == [0, 0, 0]
    linear.bias[0] = 1.0
    assert certify(linear, torch.rand(2, 2), torch.tensor([1, 2])).radii().tolist() == [0, 0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("layer", [1, -1])
def test_networks_that_diverged_certify_nothing(examples, value, layer):
    model = network()
    model[layer].weight[0, 0] = value
    found = certify(model.double(), *examples)
    for dtype in ARITHMETICS:
        assert not bool(found.radii(dtype).any())
        assert not bool(found.radii_per_pair(dtype).any())


def test_inputs_are_left_as_they_are(examples):
    images = examples[0] - 0.5
    before = images.clone()
    certify(nn.Sequential(nn.ReLU(inplace=True), network()), images, examples[1])
    assert torch.equal(images, before)


def test_weights_that_are_not_float32_are_not_deployed_in_it(examples):
    model = network().double()
    model[-1].weight += 1e-12
    found = certify(model, *examples)
    assert bool((found.radii(torch.float64) > 0).any())
    with pytest.raises(TypeError, match="does not hold all of its weights"):
        found.radii(torch.float32)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int8, "float32", 32])
def test_radii_of_other_arithmetics_are_refused(examples, dtype):
    found = certify(network(), *examples)
    for radii in (found.radii, found.radii_per_pair, found.slack):
        with pytest.raises(TypeError, match=r"certified in torch\.float32, not in"):
            radii(dtype)


def test_coarse_arithmetic_is_refused(examples, monkeypatch):
    images, labels = examples
    with pytest.raises(TypeError, match="not bfloat16"):
        certify(network().bfloat16(), images.bfloat16(), labels)
    mixed = network()
    mixed[-1].half()
    with pytest.raises(TypeError, match="not float16, float32"):
        certify(mixed, images, labels)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(TypeError, match="leave autocast"):
        certify(network(), images, labels)
    with pytest.raises(TypeError, match="would see other numbers"):
        certify(network(), images.double(), labels)
    torch.backends.mkldnn.conv.fp32_precision = "bf16"  # convolutions alone
    try:
        with pytest.raises(TypeError, match="TF32 or bf16"):
            certify(network(), images, labels)
    finally:
        torch.backends.mkldnn.conv.fp32_precision = "none"
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    with pytest.raises(TypeError, match="TF32 or bf16"):
        certify(network(), images, labels)
    certify(network().double(), images, labels)


def test_layers_are_measured_once(examples, monkeypatch):
    from lipnet.certify.rules import linear

    measured, bound = [], linear.norm_bound
    monkeypatch.setattr(linear, "norm_bound", lambda matrix: measured.append(matrix.shape) or bound(matrix))
    found = certify(network().double(), *examples)
    assert len(measured) == 1
    lipschitz_bound(network(), (1, 8, 8))
    assert len(measured) == 2
    assert found.lipschitz == lipschitz_bound(network(), (1, 8, 8))


def test_logits_alone_have_an_allowance_too(examples):
    found = certify(network().double(), *examples)
    allowed = certified_radii(found.logits, found.labels, found.lipschitz)
    torch.testing.assert_close(allowed, found.radii(), rtol=0, atol=1e-6)
