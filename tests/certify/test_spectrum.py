import pytest
import torch
from torch import nn

from lipnet.certify import singular_values
from lipnet.layers import BCOPConv2d, MaxMin, OrthogonalLinear, PaddedConv2d

LAYERS = {
    "1x1": (lambda conv: conv(3, 5, 1), (3, 3, 3)),
    "same channels": (lambda conv: conv(3, 3, 3), (3, 4, 4)),
    "in > out": (lambda conv: conv(5, 2, 3), (5, 4, 4)),
    "in < out": (lambda conv: conv(2, 5, 3), (2, 4, 4)),
    "even kernel": (lambda conv: conv(3, 4, 2), (3, 5, 4)),
    "not square": (lambda conv: conv(2, 3, 3), (2, 3, 6)),
    "stride, in·s² > out": (lambda conv: conv(3, 5, 4, stride=2), (3, 6, 4)),
    "stride, in·s² < out": (lambda conv: conv(1, 6, 4, stride=2), (1, 6, 4)),
    "dilation": (lambda conv: conv(2, 2, 3, dilation=2), (2, 5, 5)),
    "groups": (lambda conv: conv(4, 6, 3, groups=2), (4, 4, 4)),
    "taps wrap": (lambda conv: conv(2, 3, 5), (2, 3, 2)),
}


def layer_rows():
    return [pytest.param(make, shape, id=name) for name, (make, shape) in LAYERS.items()]


def assert_same_values(found, matrix):
    expected = torch.linalg.svdvals(matrix.double())
    assert found.dtype == torch.float64
    # The Gram matrix resolves values down to 1e-8 of the largest.
    torch.testing.assert_close(found.sort(descending=True).values, expected, rtol=1e-9, atol=1e-7 * float(expected[0]))


@pytest.mark.parametrize(("make", "shape"), layer_rows())
def test_circular_convolution_has_the_singular_values_of_its_matrix(make, shape, dense_matrix):
    layer = make(PaddedConv2d)
    assert_same_values(singular_values(layer, shape), dense_matrix(layer, shape))


@pytest.mark.parametrize(("make", "shape"), layer_rows())
def test_orthogonal_convolution_has_singular_values_one(make, shape, dense_matrix):
    layer = make(BCOPConv2d)
    values = singular_values(layer, shape)
    assert_same_values(values, dense_matrix(layer, shape))
    torch.testing.assert_close(values, torch.ones_like(values), rtol=0, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_zero_padded_convolution_has_none_above_those_reported(stride, dense_matrix):
    layer = PaddedConv2d(3, 4, 4, stride=stride, padding_mode="zeros")
    own = torch.linalg.svdvals(dense_matrix(layer, (3, 6, 8)))
    assert own.max() <= singular_values(layer, (3, 6, 8)).max()


@pytest.mark.parametrize("layer_type", [nn.Linear, OrthogonalLinear])
@pytest.mark.parametrize(("inputs", "outputs"), [(12, 5), (5, 12), (7, 7), (1, 1)])
def test_linear_layer_has_the_singular_values_of_its_weight(layer_type, inputs, outputs):
    layer = layer_type(inputs, outputs)
    assert_same_values(singular_values(layer, (inputs,)), layer.weight.detach())


def test_other_modules_are_refused_by_name():
    with pytest.raises(TypeError, match="MaxMin"):
        singular_values(MaxMin(), (4,))
