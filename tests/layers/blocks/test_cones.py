import copy

import pytest
import torch

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import to_plain
from lipnet.layers import Cones


def cones(upward, count=7, features=3):
    torch.manual_seed(0)
    layer = Cones(features, count, upward).double()
    with torch.no_grad():
        layer.heights.uniform_(-0.3, 0.3)
    return layer


@pytest.mark.parametrize("upward", [False, True])
def test_it_is_the_envelope_of_its_cones(upward):
    layer, points = cones(upward).eval(), torch.randn(50, 3, dtype=torch.float64)
    values = torch.empty(50, dtype=torch.float64)
    for row, point in enumerate(points):  # cone by cone, from the definition
        distances = torch.stack([(point - apex).norm() for apex in layer.apices])
        values[row] = (layer.heights + distances).min() if upward else (layer.heights - distances).max()
    assert layer(points).shape == (50, 1)
    torch.testing.assert_close(layer(points)[:, 0], values, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(layer.train()(points)[:, 0], values, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("upward", [False, True])
def test_gradients_are_those_of_the_envelope_and_have_norm_1(upward):
    layer, points = cones(upward), torch.randn(40, 3, dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(layer(points).sum(), points)[0]
    torch.testing.assert_close(gradient.norm(dim=1), torch.ones(40, dtype=torch.float64))
    assert torch.autograd.gradcheck(layer, points)
    layer(points).sum().backward()
    counts = torch.bincount(layer._ruling(points), minlength=7).double()
    assert bool((counts > 0).sum() > 2)
    torch.testing.assert_close(layer.heights.grad, counts)
    assert bool((layer.apices.grad.norm(dim=1) > 0)[counts > 0].all())


@pytest.mark.parametrize("upward", [False, True])
def test_it_is_1_lipschitz(upward):
    layer = cones(upward).eval()
    assert lipschitz_bound(layer, (3,)) == 1.0
    near = torch.randn(2000, 3, dtype=torch.float64)
    for far in (near.flip(0), near + 1e-4 * near.flip(0)):
        change = (layer(near) - layer(far))[:, 0].abs()
        assert bool((change <= (near - far).norm(dim=1) + 1e-13).all())


def test_a_function_with_constant_1_on_finitely_many_points_is_met_exactly():
    """McShane's extension, both ways: apices at the points, heights the values."""
    points = torch.randn(30, 4, dtype=torch.float64)
    values = (points - 0.3).norm(dim=1)
    for upward in (False, True):
        layer = Cones(4, 30, upward).double().eval()
        layer.place(points)
        with torch.no_grad():
            layer.heights.copy_(values)
        torch.testing.assert_close(layer(points)[:, 0], values)


def test_images_are_vectors_to_it_and_a_copy_is_plain():
    layer, images = Cones(12, 5), torch.rand(6, 3, 2, 2)
    layer.place(images[:5])
    layer.heights.data.zero_()
    assert torch.equal(layer.apices, images[:5].flatten(1))
    plain = to_plain(layer.eval())
    assert plain is not layer
    assert torch.equal(plain(images), layer(images))
    assert torch.equal(copy.deepcopy(layer)(images), layer(images))
    assert float(layer(images).detach().max()) == 0.0  # an apex


@pytest.mark.parametrize("upward", [False, True])
def test_placed_cones_are_level(upward):
    layer, samples = Cones(3, 40, upward).double(), torch.randn(40, 3, dtype=torch.float64)
    layer.place(samples)
    distances = torch.cdist(samples, layer.apices)
    cones = layer.heights + distances if upward else layer.heights - distances
    means = cones.mean(0)
    torch.testing.assert_close(means, means[:1].expand(40))
    assert abs(float(layer.heights.detach().mean())) < 1e-12


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0)])
def test_sizes_that_cannot_be(sizes):
    with pytest.raises(ValueError, match=r"Cones needs (in_features|cones) to be a whole number >= 1, got 0"):
        Cones(*sizes)
