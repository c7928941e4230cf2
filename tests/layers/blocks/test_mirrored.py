import pytest
import torch
from torch import nn

from lipnet import to_plain
from lipnet.certify import certify, jacobian_lower_bound, lipschitz_bound, rounding_bound
from lipnet.layers import BatchCentering, BCOPConv2d, MaxMin, Mirrored, Normalize, OrthogonalLinear, UnitRowLinear

SHAPE = (3, 8, 6)


@pytest.fixture
def network():
    torch.manual_seed(0)
    inner = nn.Sequential(
        BCOPConv2d(3, 8, 4, stride=2), BatchCentering(8), MaxMin(), nn.Flatten(), OrthogonalLinear(96, 12),
        nn.LeakyReLU(0.3, inplace=True),
    )  # fmt: skip
    made = nn.Sequential(Normalize([0.5] * 3, [1.0] * 3), Mirrored(inner), UnitRowLinear(12, 4))
    made(torch.rand(32, *SHAPE))
    return made.eval().requires_grad_(False)


def test_an_image_and_its_mirror_image_are_judged_together(network):
    images = torch.rand(5, *SHAPE)
    kept = images.clone()
    wanted = network[2]((network[1].inner(network[0](images)) + network[1].inner(network[0](images.flip(-1)))) / 2)
    for made in (network, to_plain(network)):
        torch.testing.assert_close(made(images), wanted)
        torch.testing.assert_close(made(images.flip(-1)), wanted)
    assert torch.equal(images, kept)


def test_it_trains_on_images_as_they_are(network):
    images = torch.rand(5, *SHAPE)
    inner = network[1].train().inner
    inner[1].eval()
    assert torch.equal(network[1](images), inner(images))


def test_its_bound_is_that_of_what_is_inside(network):
    assert lipschitz_bound(network[1], SHAPE) == lipschitz_bound(network[1].inner, SHAPE)
    assert jacobian_lower_bound(to_plain(network).double(), torch.rand(4, *SHAPE).double()) <= 1.5


def test_its_rounding_is_below_the_bound(network):
    plain, inputs = to_plain(network), torch.rand(200, *SHAPE)
    exact = to_plain(network).double()(inputs.double())
    bound = rounding_bound(plain, SHAPE, torch.float32)
    off = (plain(inputs).double() - exact).norm(dim=1)
    assert bool((off <= bound.error.at(bound.norms(inputs))).all())
    assert bool((off > 0).any())


def test_certificates_are_of_both_together(network):
    images = torch.rand(20, *SHAPE)
    exact = to_plain(network).double()
    labels = exact(images.double()).argmax(1)
    found = certify(exact, images, labels)
    torch.testing.assert_close(found.logits, exact(images.double()))
    assert bool((found.radii(torch.float32) <= found.radii(torch.float64)).all())
    assert float(found.radii(torch.float32).mean()) > 0.99 * float(found.radii(torch.float64).mean()) > 0
