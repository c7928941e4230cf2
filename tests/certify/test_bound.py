import math

import pytest
import torch
from torch import nn

from lipnet.certify import jacobian_lower_bound, lipschitz_bound, register_rule
from lipnet.layers import (
    Abs,
    BCOPConv2d,
    Concat,
    GroupSort,
    MaxMin,
    Normalize,
    OrthogonalizationError,
    OrthogonalLinear,
    PaddedConv2d,
    PixelUnshuffle,
    Residual,
    Scale,
)

TIGHT = 1 + 1e-9

# name: (in, out, kernel size) of the convolution, its other options, image size
CONVOLUTIONS = {
    "1x1": ((3, 5, 1), {}, (4, 4)),
    "odd kernel": ((4, 4, 3), {}, (6, 6)),
    "even kernel": ((4, 4, 4), {}, (6, 6)),
    "more channels out": ((2, 7, 3), {}, (5, 5)),
    "fewer channels out": ((7, 2, 3), {}, (5, 5)),
    "not square": ((3, 3, 3), {}, (4, 7)),
    "stride": ((3, 8, 4), {"stride": 2}, (8, 6)),
    "stride equals kernel": ((2, 4, 2), {"stride": 2}, (6, 6)),
    "stride 3": ((1, 4, 6), {"stride": 3}, (9, 6)),
    "dilation": ((3, 3, 3), {"dilation": 2}, (7, 6)),
    "groups": ((4, 6, 3), {"groups": 2}, (5, 5)),
    "groups and stride": ((4, 8, 4), {"stride": 2, "groups": 2}, (4, 8)),
    "groups and dilation": ((4, 4, 3), {"dilation": 2, "groups": 2}, (10, 10)),
}
# The kernel reaches around the image, so that taps fall on one another.
WRAPPING = {
    "one pixel": ((3, 3, 3), {}, (1, 1)),
    "5x5 on 3x2": ((3, 4, 5), {}, (3, 2)),
    "stride on 2x2": ((2, 4, 4), {"stride": 2}, (2, 2)),
    "dilation on 3x3": ((3, 3, 3), {"dilation": 3}, (3, 3)),
}


def convolutions(table):
    return [pytest.param(*row, id=name) for name, row in table.items()]


def largest_singular_value(matrix):
    return float(torch.linalg.matrix_norm(matrix.double(), ord=2))


@pytest.mark.parametrize("layer_type", [BCOPConv2d, PaddedConv2d])
@pytest.mark.parametrize(("sizes", "options", "image"), convolutions(CONVOLUTIONS | WRAPPING))
def test_circular_convolution_is_bounded_tightly(layer_type, sizes, options, image, dense_matrix):
    layer, shape = layer_type(*sizes, **options), (sizes[0], *image)
    true = largest_singular_value(dense_matrix(layer, shape))
    assert true <= lipschitz_bound(layer, shape) <= true * TIGHT


@pytest.mark.parametrize("layer_type", [BCOPConv2d, PaddedConv2d])
@pytest.mark.parametrize(("sizes", "options", "image"), convolutions(CONVOLUTIONS))
def test_zero_padded_convolution_is_bounded(layer_type, sizes, options, image, dense_matrix):
    layer, shape = layer_type(*sizes, **options, padding_mode="zeros"), (sizes[0], *image)
    true = largest_singular_value(dense_matrix(layer, shape))
    assert true <= lipschitz_bound(layer, shape) <= 1.5 * true


@pytest.mark.parametrize("layer_type", [BCOPConv2d, PaddedConv2d])
@pytest.mark.parametrize(("sizes", "options", "image"), convolutions(WRAPPING))
def test_zero_padded_convolution_of_a_tiny_image_is_bounded(layer_type, sizes, options, image, dense_matrix):
    layer, shape = layer_type(*sizes, **options, padding_mode="zeros"), (sizes[0], *image)
    assert largest_singular_value(dense_matrix(layer, shape)) <= lipschitz_bound(layer, shape)


@pytest.mark.parametrize("padding_mode", ["circular", "zeros"])
@pytest.mark.parametrize("kernel_size", [3, 5, 7])
def test_kernel_that_is_no_multiple_of_its_stride_is_bounded(kernel_size, padding_mode, dense_matrix):
    layer = PaddedConv2d(3, 4, kernel_size, stride=2, padding_mode=padding_mode)
    true = largest_singular_value(dense_matrix(layer, (3, 8, 8)))
    assert true <= lipschitz_bound(layer, (3, 8, 8)) <= true * (TIGHT if padding_mode == "circular" else 1.5)


@pytest.mark.parametrize("padding_mode", ["circular", "zeros"])
@pytest.mark.parametrize(("sizes", "options", "image"), convolutions(CONVOLUTIONS))
def test_orthogonal_convolution_has_bound_one(sizes, options, image, padding_mode):
    layer = BCOPConv2d(*sizes, **options, padding_mode=padding_mode)
    assert lipschitz_bound(layer, (sizes[0], *image)) == pytest.approx(1, abs=1e-5)


def linear(inputs, outputs, scale=1.0, rank=None):
    weight = torch.randn(outputs, rank or inputs) @ torch.randn(rank or inputs, inputs)
    layer = nn.Linear(inputs, outputs)
    layer.weight.data = scale * weight
    return layer


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: OrthogonalLinear(9, 4), id="orthogonal, wide"),
        pytest.param(lambda: OrthogonalLinear(4, 9), id="orthogonal, tall"),
        pytest.param(lambda: linear(9, 9), id="square"),
        pytest.param(lambda: linear(40, 3), id="wide"),
        pytest.param(lambda: linear(3, 40), id="tall"),
        pytest.param(lambda: linear(1, 1), id="one weight"),
        pytest.param(lambda: linear(20, 20, rank=2), id="rank 2"),
        pytest.param(lambda: linear(20, 10, scale=1e25), id="huge"),
        pytest.param(lambda: linear(20, 10, scale=1e-25), id="tiny"),
        pytest.param(lambda: linear(20, 10).double(), id="float64"),
        pytest.param(lambda: linear(20, 10).bfloat16(), id="bfloat16"),
    ],
)
def test_linear_layer_is_bounded_tightly(make):
    layer = make()
    true = largest_singular_value(layer.weight.detach())
    assert true <= lipschitz_bound(layer, (layer.in_features,)) <= true * TIGHT


# Their constants in closed form.
@pytest.mark.parametrize(
    ("module", "constant"),
    [
        (nn.Identity(), 1),
        (nn.Flatten(), 1),
        (nn.ReLU(), 1),
        (nn.Tanh(), 1),
        (nn.LeakyReLU(0.1), 1),
        (nn.LeakyReLU(2.0), 2),
        (nn.LeakyReLU(-3.0), 3),
        (Abs(), 1),
        (MaxMin(), 1),
        (GroupSort(2), 1),
        (GroupSort(None), 1),
        (PixelUnshuffle(2), 1),
        (nn.PixelUnshuffle(2), 1),
        (nn.PixelShuffle(2), 1),
        (Normalize([0.5] * 4, [0.25] * 4), 4),
        (Normalize([0.0] * 4, [2.0, 0.5, 4.0, 8.0]), 2),
        (Normalize([0.1] * 4, [10.0] * 4), 0.1),
        (Scale(3.0), 3),
        (Scale(-0.5), 0.5),
        (nn.Sequential(), 1),
        (nn.Sequential(Scale(2.0), nn.Sequential(MaxMin(), Scale(-3.0)), Normalize([0.0] * 4, [0.5] * 4)), 12),
    ],
    ids=repr,
)
def test_modules_with_known_constants(module, constant):
    bound = lipschitz_bound(module, (4, 2, 2))
    assert constant <= bound <= constant * TIGHT
    points = torch.randn(5, 4, 2, 2, dtype=torch.float64)
    flattened = nn.Sequential(module, nn.Flatten()).double()
    assert jacobian_lower_bound(flattened, points) == pytest.approx(constant, rel=0.2)  # it is attained, or nearly


def convolutional_network(padding_mode, conv, last):
    return nn.Sequential(
        Normalize([0.4, 0.5, 0.6], [0.25, 0.5, 0.3]),
        conv(3, 4, 3, padding_mode=padding_mode),
        MaxMin(),
        nn.Sequential(conv(4, 8, 4, stride=2, padding_mode=padding_mode), GroupSort(4), nn.Sequential(Scale(1.5))),
        nn.Flatten(),
        last(8 * 2 * 3, 6),
        Abs(),
        last(6, 5),
    )


@pytest.mark.parametrize("padding_mode", ["circular", "zeros"])
@pytest.mark.parametrize("conv", [BCOPConv2d, PaddedConv2d])
@pytest.mark.parametrize("last", [OrthogonalLinear, nn.Linear])
def test_network_is_bounded(padding_mode, conv, last):
    network = convolutional_network(padding_mode, conv, last).double()
    points = torch.rand(8, 3, 4, 6, dtype=torch.float64)
    assert jacobian_lower_bound(network, points) <= lipschitz_bound(network, (3, 4, 6))


def test_affine_network_is_bounded(dense_matrix):
    network = nn.Sequential(
        Normalize([0.5, 0.5], [0.3, 0.7]), PaddedConv2d(2, 4, 3), nn.Sequential(BCOPConv2d(4, 4, 2), Scale(2.0)),
        nn.Flatten(), nn.Linear(64, 7),
    )  # fmt: skip
    assert largest_singular_value(dense_matrix(network, (2, 4, 4))) <= lipschitz_bound(network, (2, 4, 4))


def test_sequential_multiplies_however_it_is_nested():
    parts = [PaddedConv2d(2, 4, 4, stride=2), MaxMin(), PaddedConv2d(4, 2, 3), nn.Flatten(), nn.Linear(18, 3)]
    shapes = [(2, 6, 6), (4, 3, 3), (4, 3, 3), (2, 3, 3), (18,)]
    product = math.prod(lipschitz_bound(part, shape) for part, shape in zip(parts, shapes, strict=True))
    flat, nested = nn.Sequential(*parts), nn.Sequential(nn.Sequential(*parts[:2]), nn.Sequential(*parts[2:]))
    assert lipschitz_bound(flat, (2, 6, 6)) == pytest.approx(product, rel=1e-12)
    assert lipschitz_bound(nested, (2, 6, 6)) == pytest.approx(product, rel=1e-12)


def test_module_that_is_used_twice_counts_twice():
    twice = nn.Linear(3, 3, bias=False)
    twice.weight.data = 2 * torch.eye(3)
    assert lipschitz_bound(nn.Sequential(twice, nn.ReLU(), twice), (3,)) >= 4


class SquaredSequence(nn.Sequential):
    def forward(self, inputs):
        return super().forward(inputs) ** 2


class DoubledLinear(nn.Linear):
    def forward(self, inputs):
        return 2 * super().forward(inputs)


def replaced_forward(module):
    module.forward = lambda inputs: 2 * inputs
    return module


class Permutation(nn.Module):
    def forward(self, inputs):
        return inputs.flip(1)


@pytest.mark.parametrize(
    ("module", "place"),
    [
        (nn.LayerNorm(6), "LayerNorm"),
        (nn.Softplus(), "Softplus"),  # it jumps, by 2e-9, where it becomes the identity
        (SquaredSequence(nn.ReLU()), "SquaredSequence"),
        (DoubledLinear(6, 6), "DoubledLinear"),
        (replaced_forward(nn.ReLU()), "ReLU"),
        (nn.Sequential(nn.ReLU(), nn.Softmax(1)), r"Sequential\.1 \(Softmax\)"),
        (nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU(), nn.Softplus())), r"Sequential\.1\.1 \(Softplus\)"),
        (Residual(nn.Sequential(nn.Softmax(1))), r"Residual\.branch\.0 \(Softmax\)"),
        (Concat(nn.ReLU(), nn.Softmax(1)), r"Concat\.branches\.1 \(Softmax\)"),
    ],
)
def test_unknown_module_is_an_error_that_names_it(module, place):
    with pytest.raises(TypeError, match=place):
        lipschitz_bound(module, (4, 6, 6))


def test_register_rule_adds_a_module(monkeypatch):
    from lipnet.certify import bound

    monkeypatch.setattr(bound, "_RULES", dict(bound._RULES))
    network = nn.Sequential(Scale(2.0), Permutation())
    with pytest.raises(TypeError, match="Permutation"):
        lipschitz_bound(network, (4,))
    shapes = []
    register_rule(Permutation)(lambda module, input_shape: shapes.append(input_shape) or 3.0)
    assert lipschitz_bound(network, (4,)) == pytest.approx(6)
    assert shapes == [(4,)]


def broken(layer, value):
    layer.weight.data.view(-1)[-1] = value
    return layer


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        pytest.param(lambda value: broken(nn.Linear(4, 3), value), (4,), id="linear"),
        pytest.param(lambda value: broken(PaddedConv2d(2, 2, 3), value), (2, 4, 4), id="convolution"),
        pytest.param(lambda value: nn.Sequential(nn.ReLU(), broken(nn.Linear(4, 3), value)), (4,), id="network"),
    ],
)
def test_weights_that_are_not_finite_have_no_finite_bound(make, shape, value):
    assert lipschitz_bound(make(value), shape) == math.inf


def test_layers_after_a_diverged_one_do_not_make_its_bound_finite():
    diverged = nn.Sequential(broken(nn.Linear(4, 3), math.nan), Scale(0.0))
    assert not math.isfinite(lipschitz_bound(diverged, (4,)))


@pytest.mark.parametrize(
    ("layer", "shape"), [(OrthogonalLinear(4, 3), (4,)), (BCOPConv2d(2, 2, 3), (2, 4, 4))], ids=repr
)
def test_orthogonal_layer_that_diverged_is_an_error(layer, shape):
    for parameter in layer.parameters():
        parameter.data.fill_(math.nan)
    with pytest.raises(OrthogonalizationError):
        lipschitz_bound(layer, shape)


def test_bound_leaves_no_gradients():
    layer = nn.Linear(4, 3)
    assert isinstance(lipschitz_bound(layer, (4,)), float)
    assert layer.weight.grad is None


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Upsample(scale_factor=2, mode="nearest"), (2, 3, 3)),
        (nn.Upsample(scale_factor=3, mode="nearest"), (1, 2, 3)),
        (nn.Upsample(size=(7, 5), mode="nearest"), (1, 3, 2)),
        (nn.Upsample(scale_factor=0.5, mode="nearest"), (1, 4, 4)),
        (nn.ZeroPad2d((1, 2, 0, 3)), (2, 3, 4)),
    ],
    ids=str,
)
def test_resizing_has_its_true_constant(module, shape, dense_matrix):
    """The largest singular value of the dense matrix: 2 for nearest-neighbour up-sampling by 2."""
    largest = float(torch.linalg.matrix_norm(dense_matrix(module, shape), ord=2))
    assert lipschitz_bound(module, shape) == pytest.approx(largest, rel=1e-12)
    if getattr(module, "scale_factor", None) == 2:
        assert largest == pytest.approx(2)
