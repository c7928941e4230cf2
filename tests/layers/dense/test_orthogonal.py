import copy
import math
import re
from functools import partial

import pytest
import torch
from torch.nn import functional

from lipnet.layers import OrthogonalizationError, OrthogonalLinear, bjorck, cholesky
from lipnet.layers.dense.orthogonal import _FactoredLinear, inverse_cholesky_factor

SIZES = [(9, 4), (4, 9), (6, 6), (7, 1), (1, 7), (1, 1)]
MAPS = {"cholesky": cholesky, "bjorck": bjorck}
over_sizes = pytest.mark.parametrize(("inputs", "outputs"), SIZES)
over_maps = pytest.mark.parametrize("orthogonalize", MAPS.values(), ids=MAPS)


def moved(inputs: int, outputs: int, noise: float = 0.1, **options: object) -> OrthogonalLinear:
    """A float64 layer whose free matrix is no longer orthonormal, as after some training."""
    layer = OrthogonalLinear(inputs, outputs, **options).double()
    with torch.no_grad():
        layer.raw_weight.add_(noise * torch.randn_like(layer.raw_weight))
    return layer


def gradients(layer: OrthogonalLinear, outputs: torch.Tensor, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(outputs.pow(4).sum(), (inputs, *layer.parameters()), retain_graph=True)


@over_sizes
@over_maps
def test_weight_is_the_map_of_the_free_matrix(inputs, outputs, orthogonalize):
    layer = moved(inputs, outputs, orthogonalize=orthogonalize)
    assert layer.weight.shape == (outputs, inputs)
    assert torch.equal(layer.weight, orthogonalize(layer.raw_weight))


@over_sizes
@over_maps
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("rows", [1, 3, 20])
def test_is_an_affine_map_with_the_gradients_of_one(inputs, outputs, orthogonalize, mode, bias, rows):
    """Few rows train through the Cholesky factor, many through the weight: the same function either way."""
    layer = getattr(moved(inputs, outputs, bias=bias, orthogonalize=orthogonalize), mode)()
    batch = torch.randn(rows, inputs, dtype=torch.float64, requires_grad=True)
    expected = functional.linear(batch, orthogonalize(layer.raw_weight), layer.bias)
    result = layer(batch)
    torch.testing.assert_close(result, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(gradients(layer, result, batch), gradients(layer, expected, batch), atol=1e-9, rtol=0)


@over_sizes
@pytest.mark.parametrize("rows", [1, 3])
def test_factored_product_has_correct_gradients(inputs, outputs, rows):
    layer = moved(inputs, outputs)
    batch = torch.randn(rows, inputs, dtype=torch.float64, requires_grad=True)

    def apply(batch: torch.Tensor, raw: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        tall = raw.detach() if outputs >= inputs else raw.detach().mT
        return _FactoredLinear.apply(batch, raw, bias, inverse_cholesky_factor(tall, 1e3)[0])

    assert torch.autograd.gradcheck(apply, (batch, layer.raw_weight, layer.bias))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (2, 1, 3), (0,), (12,), (4, 5)], ids=str)
@pytest.mark.parametrize("sizes", [(9, 4), (4, 9)], ids=str)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_takes_any_leading_dimensions(shape, sizes, mode):
    layer = getattr(OrthogonalLinear(*sizes), mode)()
    inputs = torch.randn(*shape, sizes[0])
    expected = functional.linear(inputs, layer.weight, layer.bias)
    torch.testing.assert_close(layer(inputs), expected)


@pytest.mark.parametrize("sizes", [(9, 4), (4, 9)], ids=str)
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("shape", [(3, 5), (2, 18), (18, 2), (3, 10)], ids=str)
def test_refuses_inputs_of_another_size(sizes, mode, shape):
    message = rf"OrthogonalLinear\(.*\) needs inputs of shape \(\.\.\., {sizes[0]}\), got {re.escape(str(shape))}"
    with pytest.raises(RuntimeError, match=message):
        getattr(OrthogonalLinear(*sizes), mode)()(torch.randn(shape))


@pytest.mark.parametrize("sizes", [(40, 20), (20, 40), (30, 30)], ids=str)
@pytest.mark.parametrize("condition", [1, 5, 20, 50, 1e3, 1e5])
def test_training_forward_is_close_to_orthogonal_in_float32(sizes, condition):
    """At any condition number of the free matrix; the weight itself is always exact."""
    layer = OrthogonalLinear(*sizes, bias=False)
    left, _, right = torch.linalg.svd(torch.randn(sizes[1], sizes[0], dtype=torch.float64), full_matrices=False)
    layer.raw_weight.data = (left * torch.logspace(0, -math.log10(condition), min(sizes)).double() @ right).float()
    basis = torch.eye(sizes[0])
    jacobian = torch.cat([layer(part) for part in basis.split(10)]).detach().double()
    assert float((torch.linalg.svdvals(jacobian) - 1).abs().max()) <= 1e-4
    assert float((torch.linalg.svdvals(layer.weight.detach().double()) - 1).abs().max()) <= 1e-5
    torch.testing.assert_close(jacobian, layer.weight.detach().double().T, atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", [1e-6, 1e-4, 1e-2, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("condition", [2, 30, 1e3])
def test_training_forward_at_any_scale(scale, condition):
    layer = OrthogonalLinear(40, 20, bias=False)
    left, _, right = torch.linalg.svd(torch.randn(20, 40, dtype=torch.float64), full_matrices=False)
    values = scale * torch.logspace(0, -math.log10(condition), 20).double()
    layer.raw_weight.data = (left * values @ right).float()
    jacobian = torch.cat([layer(part) for part in torch.eye(40).split(10)]).detach().double()
    assert float((torch.linalg.svdvals(jacobian) - 1).abs().max()) <= 1e-4


@over_maps
@pytest.mark.parametrize("rows", [2, 30])
@pytest.mark.parametrize("sizes", [(9, 4), (4, 9)], ids=str)
def test_learns_an_orthogonal_map(orthogonalize, rows, sizes):
    """A target within reach: the loss goes to zero, in both the factored and the direct path."""
    target = moved(*sizes, noise=0.5)
    layer = moved(*sizes, orthogonalize=orthogonalize)
    start = copy.deepcopy(layer)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(100):
        inputs = torch.randn(rows, sizes[0], dtype=torch.float64, generator=generator)
        optimizer.zero_grad()
        loss = (layer(inputs) - target(inputs).detach()).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < 0.2 * sum(losses[:10])
    assert not torch.equal(start.raw_weight, layer.raw_weight)


@pytest.mark.parametrize("fill", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("rows", [2, 30])
@over_maps
def test_degenerate_free_matrix_names_the_layer(fill, rows, orthogonalize):
    layer = OrthogonalLinear(9, 4, orthogonalize=orthogonalize)
    layer.raw_weight.data.fill_(fill)
    with pytest.raises(OrthogonalizationError, match=r"OrthogonalLinear\(9, 4\): cannot orthonormalise"):
        layer(torch.zeros(rows, 9))


def test_starts_orthogonal_with_a_small_bias():
    layer = OrthogonalLinear(9, 4)
    torch.testing.assert_close(layer.raw_weight @ layer.raw_weight.T, torch.eye(4), atol=1e-5, rtol=0)
    assert 0 < float(layer.bias.detach().abs().max()) <= 1 / 3
    assert OrthogonalLinear(9, 4, bias=False).bias is None


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (-1, 3)], ids=str)
def test_refuses_sizes(sizes):
    name, size = ("in_features", sizes[0]) if sizes[0] < 1 else ("out_features", sizes[1])
    message = f"OrthogonalLinear needs {name} to be a whole number >= 1, got {size}"
    with pytest.raises(ValueError, match=message):
        OrthogonalLinear(*sizes)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (partial(OrthogonalLinear, 9, 4), "OrthogonalLinear(9, 4)"),
        (partial(OrthogonalLinear, 9, 4, bias=False), "OrthogonalLinear(9, 4, bias=False)"),
    ],
)
def test_shows_its_arguments(make, text):
    assert repr(make()) == text
