"""Free parameters of any size: what a layer computes does not depend on it, or is a plain error."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from lipnet.layers import (
    AOCConv2d,
    AOLConv2d,
    AOLLinear,
    BCOPConv2d,
    BROConv2d,
    BROLinear,
    CayleyConv2d,
    CayleyLinear,
    L2NEConv2d,
    LOTConv2d,
    OrthogonalLinear,
    OSSNConv2d,
    RKOConv2d,
    SOCConv2d,
    SpectralLinear,
    SVCMConv2d,
    UnitRowLinear,
    bjorck,
)
from lipnet.layers.scale import binary_halves, binary_scale

SIZE = (6, 8)
INVARIANT: dict[str, Callable[..., nn.Module]] = {
    "bcop": partial(BCOPConv2d, 3, 5, 3),
    "bcop_groups": partial(BCOPConv2d, 4, 6, 3, groups=2),
    "bcop_bjorck": partial(BCOPConv2d, 5, 3, 3, orthogonalize=bjorck),
    "aoc": partial(AOCConv2d, 3, 5, 3),
    "aoc_stride": partial(AOCConv2d, 2, 12, 3, 2),
    "cayley": partial(CayleyConv2d, 3, 5, 3, image_size=SIZE),
    "cayley_linear": partial(CayleyLinear, 9, 4),
    "soc": partial(SOCConv2d, 3, 5, 3),
    "bro": partial(BROConv2d, 3, 5, 3, image_size=SIZE),
    "bro_linear": partial(BROLinear, 9, 4),
    "lot": partial(LOTConv2d, 3, 5, 3, image_size=SIZE),
    "rko": partial(RKOConv2d, 3, 5, 3),
    "rko_bjorck": partial(RKOConv2d, 3, 5, 3, orthogonalize=bjorck),
    "orthogonal": partial(OrthogonalLinear, 9, 4),
    "orthogonal_tall": partial(OrthogonalLinear, 4, 9),
    "orthogonal_bjorck": partial(OrthogonalLinear, 9, 4, orthogonalize=bjorck),
    "l2ne": partial(L2NEConv2d, 3, 5, 3),
    "l2ne_groups": partial(L2NEConv2d, 4, 6, 3, groups=2),
    "unit_rows": partial(UnitRowLinear, 9, 4),
    "aol": partial(AOLConv2d, 3, 5, 3, steps=3),
    "aol_groups": partial(AOLConv2d, 4, 6, 3, groups=2),
    "aol_linear": partial(AOLLinear, 9, 4, steps=2),
}
ESTIMATED: dict[str, Callable[..., nn.Module]] = {
    "ossn": partial(OSSNConv2d, 3, 5, 3, image_size=SIZE),
    "spectral": partial(SpectralLinear, 7, 5),
    "svcm": partial(SVCMConv2d, 3, 5, 3, image_size=SIZE),
}
SCALES = [(torch.float32, 10.0**power) for power in (-33, -30, -25, -20, -12, 12, 20, 25, 30, 33)]
SCALES += [(torch.float64, 10.0**power) for power in (-300, -200, -150, 150, 200, 300)]
over_scales = pytest.mark.parametrize(("dtype", "scale"), SCALES, ids=[f"{scale:g}" for _, scale in SCALES])
over_modes = pytest.mark.parametrize("mode", ["train", "eval"])
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def raw(layer: nn.Module) -> list[nn.Parameter]:
    return [parameter for name, parameter in layer.named_parameters() if name.startswith("raw_")]


def inputs_of(layer: nn.Module) -> Tensor:
    return (
        torch.randn(2, layer.in_channels, *SIZE) if hasattr(layer, "in_channels") else torch.randn(2, layer.in_features)
    )


def pair(make: Callable[..., nn.Module], dtype: torch.dtype, scale: float, mode: str) -> tuple[nn.Module, nn.Module]:
    """A layer with free parameters of this size, and one in float64 with the very same numbers at their usual size."""
    layer, usual = getattr(make(dtype=dtype), mode)(), getattr(make(dtype=torch.float64), mode)()
    with torch.no_grad():
        for parameter in raw(layer):
            parameter.add_(0.05 * torch.randn_like(parameter)).mul_(scale)
    usual.load_state_dict(layer.state_dict())
    with torch.no_grad():
        for parameter in raw(usual):
            parameter.div_(scale)
    return layer, usual


@pytest.mark.parametrize("make", INVARIANT.values(), ids=INVARIANT)
@over_scales
@over_modes
def test_the_size_of_free_parameters_does_not_matter(make, dtype, scale, mode):
    layer, usual = pair(make, dtype, scale, mode)
    inputs, tolerance = inputs_of(layer).to(dtype), TOLERANCE[dtype]
    found, expected = layer(inputs), usual(inputs.double())
    torch.testing.assert_close(layer.weight.double(), usual.weight, rtol=0, atol=tolerance)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=20 * tolerance)
    direction = torch.randn_like(expected)
    gradients = torch.autograd.grad((found * direction.to(dtype)).sum(), raw(layer))
    exact = torch.autograd.grad((expected * direction).sum(), raw(usual))
    for gradient, right in zip(gradients, exact, strict=True):
        error = (gradient.double() * scale - right).norm() / right.norm()
        assert float(error) <= 100 * tolerance


@pytest.mark.parametrize("make", ESTIMATED.values(), ids=ESTIMATED)
@over_scales
def test_norms_of_any_size_are_divided_out(make, dtype, scale):
    layer, usual = pair(make, dtype, scale, "eval")

    def norm(matrix: Tensor) -> Tensor:
        dense = isinstance(layer, SpectralLinear)
        return torch.linalg.matrix_norm(matrix.double(), ord=2) if dense else usual.exact_norm(matrix)

    free = raw(layer)[0].detach().double()
    if scale < 1:
        torch.testing.assert_close(layer.weight.double(), free, rtol=1e-6, atol=0)
    else:
        torch.testing.assert_close(norm(layer.weight), torch.ones((), dtype=torch.float64), rtol=1e-6, atol=0)
    if not isinstance(layer, SVCMConv2d):
        expected = free / scale / max(float(norm(free / scale)), 1 / scale)
        torch.testing.assert_close(layer.weight.double(), expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))
        weight = layer.train().weight
        torch.testing.assert_close(weight.double(), expected, rtol=0.2, atol=0)
        (gradient,) = torch.autograd.grad((weight * torch.randn_like(weight)).sum(), raw(layer))
        assert bool(torch.isfinite(gradient).all())


def test_groups_and_rows_of_different_sizes():
    """Each matrix has a scale of its own, and each row of unit length."""
    groups = RKOConv2d(4, 6, 3, groups=2, orthogonalize=bjorck), L2NEConv2d(4, 6, 3, groups=2)
    for layer in groups:
        expected = layer.weight.detach().clone()
        with torch.no_grad():
            layer.raw_matrix[0].mul_(2.0**90)
            layer.raw_matrix[1].mul_(2.0**-90)
        torch.testing.assert_close(layer.weight, expected)
    rows = UnitRowLinear(9, 4)
    expected = rows.weight.detach().clone()
    with torch.no_grad():
        rows.raw_weight.mul_(torch.tensor([2.0**100, 2.0**-100, 1.0, 0.0])[:, None])
    torch.testing.assert_close(rows.weight[:3], expected[:3])
    assert not bool(rows.weight[3].any())


@pytest.mark.parametrize(
    ("largest", "scale"),
    [
        (1.0, 1.0), (1.99, 1.0), (2.0, 2.0), (0.75, 0.5), (3e38, 2.0**127), (1e-40, 2.0**-126), (0.0, 2.0**-126),
    ],
)  # fmt: skip
def test_binary_scale(largest, scale):
    matrix = torch.tensor([[largest, -largest / 3], [0.0, largest / 2]])
    assert binary_scale(matrix).tolist() == [[scale]]
    assert binary_scale(-matrix).tolist() == [[scale]]


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_binary_scale_of_what_is_not_finite(value):
    assert bool(binary_scale(torch.tensor([[1.0, value]])).isnan().all())


@pytest.mark.parametrize("exponent", [-126, -51, -50, -1, 0, 1, 2, 83, 127])
def test_halves_of_a_scale(exponent):
    scale = torch.tensor(2.0**exponent)
    first, second = binary_halves(scale)
    assert first * second == scale
    assert second / first in (1, 2)
