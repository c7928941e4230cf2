"""SOC against the exponential of the dense matrix, and what is proved of a series that is cut off."""

import math

import pytest
import torch
from torch import nn

from lipnet import to_plain
from lipnet.certify import lipschitz_bound, rounding_bound, singular_values
from lipnet.errors import UserError
from lipnet.export.parts import describe
from lipnet.layers import Abs, SkewExponential, SOCConv2d
from lipnet.layers.convolutions.soc import skew_kernel

MODES = ["circular", "zeros"]
over_modes = pytest.mark.parametrize("mode", MODES)


def skew_matrix(layer, size):
    """The matrix of S on images of a size, by a layer of two terms less the identity."""
    channels = len(layer.weight)
    twin = SkewExponential(channels, channels, layer.weight, None, 2, 1, layer.padding_mode)
    return dense(twin, (channels, *size)) - torch.eye(channels * math.prod(size), dtype=torch.float64)


@torch.no_grad()
def dense(layer, shape):
    basis = torch.eye(math.prod(shape), dtype=torch.float64).view(-1, *shape)
    return (layer(basis) - layer(torch.zeros(1, *shape, dtype=torch.float64))).flatten(1).T


@over_modes
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_it_is_the_exponential_of_a_skew_matrix(kernel_size, mode):
    layer = SOCConv2d(3, 3, kernel_size, padding_mode=mode, terms=25).double().eval()
    skew = skew_matrix(layer, (4, 3))
    torch.testing.assert_close(skew, -skew.T, atol=0, rtol=0)
    assert float(torch.linalg.matrix_norm(skew, ord=2)) <= 2
    torch.testing.assert_close(dense(layer, (3, 4, 3)), torch.linalg.matrix_exp(skew), atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_kernel_is_skew_to_the_last_bit(scale, dtype):
    kernel = SOCConv2d(5, 5, 3, dtype=dtype).weight.detach()
    assert torch.equal(kernel, -kernel.flip(-2, -1).transpose(0, 1))
    kernel = skew_kernel(scale * torch.randn(4, 4, 2, 2))
    assert kernel.shape == (4, 4, 3, 3)
    assert torch.equal(kernel, -kernel.flip(-2, -1).transpose(0, 1))
    assert bool(kernel.isfinite().all())


def longest(channels, norm):
    """A kernel of one tap that turns pairs of channels with this speed, so that S has this norm, and no less."""
    turn = torch.zeros(channels, channels, dtype=torch.float64)
    for first in range(0, channels - 1, 2):
        turn[first, first + 1], turn[first + 1, first] = norm, -norm
    return turn[..., None, None]


@pytest.mark.parametrize("norm", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("terms", [2, 3, 5, 8, 14])
def test_what_is_cut_off_is_in_the_bound(terms, norm):
    layer = SkewExponential(4, 4, longest(4, norm), None, terms)
    values = torch.linalg.svdvals(dense(layer, (4, 3, 3)))
    bound = lipschitz_bound(layer, (4, 3, 3))
    assert float(values.max()) <= bound
    assert bound == pytest.approx(1 + norm**terms / math.factorial(terms), rel=1e-9)
    assert float(values.max()) > 1.05 or terms > 2  # the bound is needed
    torch.testing.assert_close(singular_values(layer, (4, 3, 3)).sort().values, values.sort().values, atol=1e-7, rtol=0)


def test_the_terms_that_are_evaluated_count():
    layer = SOCConv2d(4, 4, 3, terms=14, training_terms=3)
    images = torch.randn(2, 4, 5, 5)
    trained = lipschitz_bound(layer.train(), (4, 5, 5))
    few = layer(images)
    evaluated = lipschitz_bound(layer.eval(), (4, 5, 5))
    assert 1 < evaluated < 1 + 1e-6 < trained < 1 + 2**3 / 6
    assert float((few - layer(images)).detach().abs().max()) > 1e-4
    plain = to_plain(layer)
    assert type(plain) is SkewExponential
    torch.testing.assert_close(plain(images), layer(images), atol=0, rtol=0)
    assert lipschitz_bound(plain, (4, 5, 5)) == evaluated


def test_a_kernel_that_is_not_skew_has_no_bound():
    layer = SkewExponential(3, 3, torch.randn(3, 3, 3, 3), None, 5)
    with pytest.raises(TypeError, match="its kernel is not skew-symmetric"):
        lipschitz_bound(layer, (3, 4, 4))


@over_modes
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_float32_rounds_no_more_than_is_proved(scale, mode):
    """Terms that grow before they shrink, so that what one has lost matters in the next."""
    kernel = 3 * SOCConv2d(6, 6, 3, padding_mode=mode).weight.detach()
    layer = SkewExponential(6, 5, kernel, torch.randn(5), 20, 1, mode)
    found = rounding_bound(layer, (6, 5, 5), torch.float32)
    inputs = scale * torch.randn(50, 6, 5, 5)
    outputs = layer(inputs).detach()
    exact = SkewExponential(6, 5, kernel.double(), layer.bias.double(), 20, 1, mode)(inputs.double()).detach()
    error, allowed = (outputs - exact).flatten(1).norm(dim=1), found.error.at(found.norms(inputs))
    assert bool((error <= allowed).all())
    assert bool((allowed <= 1e5 * error).all())


def test_it_is_not_exported():
    with pytest.raises(UserError, match=r"layer 0 \(SkewExponential\(3, 4, .*\) cannot be exported; these can: "):
        describe(nn.Sequential(to_plain(SOCConv2d(3, 4, 3).eval()), Abs()))


def test_refuses_what_does_not_exist():
    with pytest.raises(ValueError, match="kernel_size 3 is not a multiple of stride 2"):
        SOCConv2d(3, 4, 3, 2)
    with pytest.raises(ValueError, match="takes padding_mode 'circular'"):
        SOCConv2d(3, 4, 3, padding_mode="reflect")
    with pytest.raises(ValueError, match="divisible by its stride 2, got 5x4"):
        SOCConv2d(3, 4, 2, 2)(torch.zeros(1, 3, 5, 4))
    with pytest.raises(RuntimeError, match="needs images of shape"):
        SOCConv2d(3, 4, 3)(torch.zeros(1, 2, 5, 4))
