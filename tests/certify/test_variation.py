"""The bound by second-order variation, against dense operators and the steepest pairs of random points."""

import math

import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.variation import bv2_bound
from lipnet.layers import Concat, LinearSpline, MaxMin, Normalize, PaddedConv2d


def free(channels, **options):
    layer = LinearSpline(channels, 5, 1.0, "relu", constrained=False, **options)
    with torch.no_grad():
        layer.values.add_(0.5 * torch.randn_like(layer.values))
    return layer


LAYERS = {
    "dense": (nn.Linear(5, 4), (5,), 4),
    "convolution": (PaddedConv2d(2, 3, 3), (2, 4, 5), 3),
    "strided": (PaddedConv2d(2, 3, 4, stride=2), (2, 6, 4), 3),
    "dilated": (PaddedConv2d(2, 3, 3, dilation=2), (2, 5, 5), 3),
    "reaches around": (PaddedConv2d(2, 3, 5), (2, 2, 3), 3),
    "zeros": (PaddedConv2d(2, 4, 3, groups=2, padding_mode="zeros"), (2, 4, 4), 4),
}


@pytest.mark.parametrize("p", [1, 1.5, 2, 7, math.inf])
@pytest.mark.parametrize("name", LAYERS)
def test_against_the_dense_operator(name, p, dense_matrix):
    layer, shape, channels = LAYERS[name]
    splines = free(channels)
    dual = math.inf if p == 1 else 1 if p == math.inf else p / (p - 1)
    rows = torch.linalg.vector_norm(dense_matrix(layer, shape), dual, dim=1)
    norms = splines.fixed().double().bv2()
    each = norms.repeat_interleave(len(rows) // channels)
    expected = float(rows.max()) * float(torch.linalg.vector_norm(each, p))
    assert bv2_bound(nn.Sequential(layer, splines), shape, p) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("shared", [True, False])
def test_no_pair_of_points_is_steeper(p, shared):
    network = nn.Sequential(
        Normalize([0.3, 0.1], [0.5, 0.7]), PaddedConv2d(2, 4, 3), free(4, shared=shared), PaddedConv2d(4, 4, 3),
        MaxMin(), nn.Flatten(), nn.Linear(64, 6), free(6, shared=shared), nn.Linear(6, 3),
    ).double().requires_grad_(False)  # fmt: skip
    bound = bv2_bound(network, (2, 4, 4), p)
    points = torch.randn(400, 2, 4, 4, dtype=torch.float64)
    for step in (1e-3, 1.0):
        others = points + step * torch.randn_like(points) * (torch.rand_like(points) < 0.2)
        moved = torch.linalg.vector_norm((network(others) - network(points)).flatten(1), p, dim=1)
        assert bool((moved <= bound * torch.linalg.vector_norm((others - points).flatten(1), p, dim=1)).all())
    if p == 2:
        assert lipschitz_bound(network, (2, 4, 4)) <= bound


def test_every_pixel_counts():
    """Of a sum over 3x3 pixels, from 1 to 9 outputs: the largest weight and the channels alone would give 2."""
    conv = PaddedConv2d(1, 1, 3, bias=False)
    nn.init.ones_(conv.weight)
    network = nn.Sequential(conv, LinearSpline(1, initial="relu"))
    assert bv2_bound(network, (1, 4, 4), 1) == pytest.approx(2 * 16)
    one = torch.zeros(1, 1, 4, 4)
    one[0, 0, 1, 1] = 1
    assert float(network(one).abs().sum().detach()) == pytest.approx(9)


def test_refusals():
    with pytest.raises(ValueError, match=r"bv2_bound needs p >= 1, got 0\.5"):
        bv2_bound(nn.Linear(2, 2), (2,), 0.5)
    with pytest.raises(TypeError, match=r"bv2_bound knows no bound of layer 0 \(Concat\)"):
        bv2_bound(nn.Sequential(Concat(nn.Identity())), (2,), 2)
