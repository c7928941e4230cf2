"""Every layer against the dense singular values of its Jacobian. A new layer joins by adding one row to LAYERS."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from lipnet.layers import (
    Abs,
    BCOPConv2d,
    GroupSort,
    L2NEConv2d,
    MaxMin,
    Normalize,
    OrthogonalLinear,
    OSSNConv2d,
    PixelUnshuffle,
    RKOConv2d,
    Scale,
    SpectralLinear,
    SVCMConv2d,
    UnitRowLinear,
    bjorck,
    cholesky,
)

ORTHOGONAL = {torch.float32: 1e-5, torch.float64: 1e-10}
LIPSCHITZ = 1e-6
ZEROS = {"padding_mode": "zeros"}
BJORCK = {"orthogonalize": bjorck}


def bcop(inputs: int, outputs: int, kernel_size: int, **options: object) -> Callable[[], nn.Module]:
    return partial(BCOPConv2d, inputs, outputs, kernel_size, **options)


# name, constructor, input shape without the batch, kind
LAYERS = [
    ("bcop_k1", bcop(4, 3, 1), (4, 3, 4), "orthogonal"),
    ("bcop_k2", bcop(4, 3, 2), (4, 4, 4), "orthogonal"),
    ("bcop_k3", bcop(4, 3, 3), (4, 4, 4), "orthogonal"),
    ("bcop_k4", bcop(4, 3, 4), (4, 4, 5), "orthogonal"),
    ("bcop_k5", bcop(4, 3, 5), (4, 5, 5), "orthogonal"),
    ("bcop_k1_narrow_to_wide", bcop(3, 5, 1), (3, 4, 4), "orthogonal"),
    ("bcop_k2_narrow_to_wide", bcop(3, 5, 2), (3, 5, 3), "orthogonal"),
    ("bcop_k3_narrow_to_wide", bcop(3, 5, 3), (3, 5, 4), "orthogonal"),
    ("bcop_k4_narrow_to_wide", bcop(2, 6, 4), (2, 5, 5), "orthogonal"),
    ("bcop_k5_narrow_to_wide", bcop(2, 5, 5), (2, 5, 4), "orthogonal"),
    ("bcop_equal", bcop(4, 4, 3), (4, 4, 4), "orthogonal"),
    ("bcop_equal_odd", bcop(5, 5, 3), (5, 3, 5), "orthogonal"),
    ("bcop_odd_to_odd", bcop(7, 3, 3), (7, 3, 3), "orthogonal"),
    ("bcop_one_channel", bcop(1, 1, 3), (1, 5, 4), "orthogonal"),
    ("bcop_one_channel_in", bcop(1, 4, 3), (1, 5, 5), "orthogonal"),
    ("bcop_one_channel_out", bcop(4, 1, 3), (4, 5, 5), "orthogonal"),
    ("bcop_no_bias", bcop(3, 4, 3, bias=False), (3, 4, 4), "orthogonal"),
    ("bcop_stride2_k2", bcop(2, 5, 2, stride=2), (2, 4, 6), "orthogonal"),
    ("bcop_stride2_k4", bcop(2, 8, 4, stride=2), (2, 6, 6), "orthogonal"),
    ("bcop_stride2_k4_fewer_out", bcop(3, 4, 4, stride=2), (3, 6, 4), "orthogonal"),
    ("bcop_stride2_k4_more_out", bcop(1, 6, 4, stride=2), (1, 6, 6), "orthogonal"),
    ("bcop_stride3_k3", bcop(1, 4, 3, stride=3), (1, 6, 9), "orthogonal"),
    ("bcop_stride3_k6", bcop(1, 5, 6, stride=3), (1, 9, 9), "orthogonal"),
    ("bcop_dilation2_k3", bcop(3, 4, 3, dilation=2), (3, 5, 6), "orthogonal"),
    ("bcop_dilation2_k2", bcop(4, 3, 2, dilation=2), (4, 4, 4), "orthogonal"),
    ("bcop_groups2", bcop(6, 4, 3, groups=2), (6, 4, 3), "orthogonal"),
    ("bcop_groups2_narrow_to_wide", bcop(4, 6, 3, groups=2), (4, 4, 3), "orthogonal"),
    ("bcop_groups2_stride2", bcop(2, 6, 4, stride=2, groups=2), (2, 6, 4), "orthogonal"),
    ("bcop_image_smaller_than_kernel", bcop(4, 3, 5), (4, 2, 3), "orthogonal"),
    ("bcop_image_1x1", bcop(3, 4, 3), (3, 1, 1), "orthogonal"),
    ("bcop_bjorck_k1", bcop(4, 3, 1, **BJORCK), (4, 3, 3), "orthogonal"),
    ("bcop_bjorck_k2", bcop(3, 4, 2, **BJORCK), (3, 4, 4), "orthogonal"),
    ("bcop_bjorck_k3", bcop(5, 4, 3, **BJORCK), (5, 4, 4), "orthogonal"),
    ("bcop_bjorck_k5", bcop(3, 5, 5, **BJORCK), (3, 5, 4), "orthogonal"),
    ("bcop_bjorck_stride2_k4", bcop(2, 6, 4, stride=2, **BJORCK), (2, 6, 4), "orthogonal"),
    ("bcop_bjorck_groups2", bcop(4, 6, 3, groups=2, **BJORCK), (4, 4, 3), "orthogonal"),
    ("bcop_zeros_k1", bcop(4, 3, 1, **ZEROS), (4, 3, 4), "orthogonal"),
    ("bcop_zeros_k2", bcop(4, 3, 2, **ZEROS), (4, 4, 4), "1-lipschitz"),
    ("bcop_zeros_k3", bcop(4, 4, 3, **ZEROS), (4, 4, 5), "1-lipschitz"),
    ("bcop_zeros_k5_narrow_to_wide", bcop(3, 5, 5, **ZEROS), (3, 5, 5), "1-lipschitz"),
    ("bcop_zeros_stride2_k4", bcop(2, 5, 4, stride=2, **ZEROS), (2, 6, 6), "1-lipschitz"),
    ("bcop_zeros_dilation2_k3", bcop(3, 4, 3, dilation=2, **ZEROS), (3, 5, 6), "1-lipschitz"),
    ("bcop_zeros_groups2", bcop(6, 4, 3, groups=2, **ZEROS), (6, 4, 3), "1-lipschitz"),
    ("bcop_zeros_bjorck", bcop(4, 3, 3, **ZEROS, **BJORCK), (4, 5, 4), "1-lipschitz"),
    ("rko_k1", partial(RKOConv2d, 4, 3, 1), (4, 3, 4), "orthogonal"),
    ("rko_k3", partial(RKOConv2d, 2, 4, 3), (2, 5, 4), "1-lipschitz"),
    ("rko_k2_more_out", partial(RKOConv2d, 1, 6, 2), (1, 4, 4), "1-lipschitz"),
    ("rko_stride2_k2", partial(RKOConv2d, 2, 5, 2, stride=2), (2, 4, 6), "orthogonal"),
    ("rko_stride2_k4", partial(RKOConv2d, 2, 5, 4, stride=2), (2, 6, 6), "1-lipschitz"),
    ("rko_groups2_dilation2", partial(RKOConv2d, 4, 6, 3, groups=2, dilation=2), (4, 5, 5), "1-lipschitz"),
    ("rko_zeros", partial(RKOConv2d, 3, 4, 3, **ZEROS), (3, 4, 5), "1-lipschitz"),
    ("rko_bjorck", partial(RKOConv2d, 3, 4, 3, **BJORCK), (3, 4, 5), "1-lipschitz"),
    ("l2ne_k3", partial(L2NEConv2d, 2, 4, 3), (2, 5, 4), "1-lipschitz"),
    ("l2ne_stride2_k4", partial(L2NEConv2d, 2, 5, 4, stride=2), (2, 6, 6), "1-lipschitz"),
    ("l2ne_zeros_groups2", partial(L2NEConv2d, 4, 6, 3, groups=2, **ZEROS), (4, 4, 5), "1-lipschitz"),
    ("ossn_k3", partial(OSSNConv2d, 2, 4, 3, image_size=(5, 4)), (2, 5, 4), "1-lipschitz"),
    ("ossn_stride2_k4", partial(OSSNConv2d, 2, 5, 4, stride=2, image_size=(6, 8)), (2, 6, 8), "1-lipschitz"),
    ("ossn_zeros", partial(OSSNConv2d, 3, 4, 3, image_size=(4, 5), **ZEROS), (3, 4, 5), "1-lipschitz"),
    (
        "ossn_groups2_dilation2",
        partial(OSSNConv2d, 4, 6, 3, groups=2, dilation=2, image_size=(5, 5)),
        (4, 5, 5),
        "1-lipschitz",
    ),
    ("svcm_k3", partial(SVCMConv2d, 2, 4, 3, image_size=(5, 4), every=10), (2, 5, 4), "1-lipschitz"),
    ("svcm_stride2_k4", partial(SVCMConv2d, 2, 5, 4, stride=2, image_size=(6, 8), every=7), (2, 6, 8), "1-lipschitz"),
    ("spectral_wide", partial(SpectralLinear, 12, 5), (12,), "1-lipschitz"),
    ("spectral_tall", partial(SpectralLinear, 5, 12), (5,), "1-lipschitz"),
    ("unit_rows_wide", partial(UnitRowLinear, 12, 5), (12,), "unit rows"),
    ("unit_rows_tall", partial(UnitRowLinear, 5, 12), (5,), "unit rows"),
    ("linear_wide", partial(OrthogonalLinear, 12, 5), (12,), "orthogonal"),
    ("linear_tall", partial(OrthogonalLinear, 5, 12), (5,), "orthogonal"),
    ("linear_square", partial(OrthogonalLinear, 8, 8), (8,), "orthogonal"),
    ("linear_one_out", partial(OrthogonalLinear, 9, 1), (9,), "orthogonal"),
    ("linear_no_bias", partial(OrthogonalLinear, 12, 5, bias=False), (12,), "orthogonal"),
    ("linear_bjorck_wide", partial(OrthogonalLinear, 12, 5, **BJORCK), (12,), "orthogonal"),
    ("linear_bjorck_tall", partial(OrthogonalLinear, 5, 12, **BJORCK), (5,), "orthogonal"),
    ("linear_bjorck_square", partial(OrthogonalLinear, 8, 8, **BJORCK), (8,), "orthogonal"),
    ("maxmin", MaxMin, (6, 3, 2), "orthogonal"),
    ("maxmin_flat", MaxMin, (10,), "orthogonal"),
    ("groupsort_2", partial(GroupSort, 2), (6, 3, 2), "orthogonal"),
    ("groupsort_4", partial(GroupSort, 4), (8, 2, 3), "orthogonal"),
    ("groupsort_all", partial(GroupSort, None), (7, 2, 2), "orthogonal"),
    ("abs", Abs, (3, 4, 2), "orthogonal"),
    ("pixel_unshuffle", partial(PixelUnshuffle, 2), (3, 4, 6), "orthogonal"),
    ("normalize", partial(Normalize, (0.5, 0.2), (1.0, 1.0)), (2, 4, 3), "orthogonal"),
    ("scale_1", partial(Scale, 1.0), (2, 4, 3), "orthogonal"),
]
LEARNED = [row for row in LAYERS if any(True for _ in row[1]().parameters())]
MOMENTS = [(*row, steps) for rows, steps in ((LAYERS, 0), (LEARNED, 25)) for row in rows]


def train(layer: nn.Module, shape: tuple[int, ...], dtype: torch.dtype, steps: int) -> None:
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2) if steps else None
    inputs = torch.randn(8, *shape, dtype=dtype)
    target = torch.randn_like(layer(inputs))
    for _ in range(steps):
        optimizer.zero_grad()
        (layer(inputs) - target).square().mean().backward()
        optimizer.step()


@torch.no_grad()
def affine_jacobian(layer: nn.Module, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """The outputs on the basis vectors minus the output at zero, in float64; checked on a random point."""
    size = torch.Size(shape).numel()
    basis = torch.eye(size, dtype=dtype).view(size, *shape)
    offset = layer(torch.zeros(1, *shape, dtype=dtype)).double().flatten(1)
    jacobian = (layer(basis).double().flatten(1) - offset).T
    point = torch.randn(1, *shape, dtype=dtype)
    expected = point.double().flatten(1) @ jacobian.T + offset
    torch.testing.assert_close(layer(point).double().flatten(1), expected, atol=ORTHOGONAL[dtype], rtol=0)
    return jacobian


def pointwise_jacobians(layer: nn.Module, shape: tuple[int, ...], dtype: torch.dtype, points: int = 3) -> torch.Tensor:
    inputs = torch.randn(points, *shape, dtype=dtype)
    return torch.stack(
        [
            torch.autograd.functional.jacobian(lambda x: layer(x[None])[0].flatten(), point).flatten(1).double()
            for point in inputs
        ]
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(
    ("constructor", "shape", "kind", "steps"),
    [pytest.param(*row[1:], id=f"{row[0]}-{'trained' if row[4] else 'initial'}") for row in MOMENTS],
)
def test_singular_values(constructor, shape, kind, steps, dtype):
    torch.manual_seed(0)
    layer = constructor().to(dtype)
    train(layer, shape, dtype, steps)
    jacobian = affine_jacobian if any(True for _ in layer.parameters()) else pointwise_jacobians
    matrix = jacobian(layer, shape, dtype)
    values = torch.linalg.svdvals(matrix)
    assert values.shape[-1] == min(torch.Size(shape).numel(), layer(torch.zeros(1, *shape, dtype=dtype)).numel())
    if kind == "orthogonal":
        assert float((values - 1).abs().max()) <= ORTHOGONAL[dtype]
    elif kind == "unit rows":
        assert float((matrix.norm(dim=1) - 1).abs().max()) <= ORTHOGONAL[dtype]
    else:
        assert float(values.max()) <= 1 + LIPSCHITZ


@pytest.mark.parametrize("orthogonalize", [cholesky, bjorck])
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 12), (12, 16), (16, 16)])
def test_zero_padding_loses_norm_only_at_the_border(inputs, outputs, orthogonalize):
    """Zero padding is a true compression: nothing above 1, and something clearly below."""
    torch.manual_seed(0)
    layer = BCOPConv2d(inputs, outputs, 3, padding_mode="zeros", orthogonalize=orthogonalize).double()
    values = torch.linalg.svdvals(affine_jacobian(layer, (inputs, 3, 3), torch.float64))
    assert float(values.max()) <= 1 + 1e-12
    assert float(values.min()) < 0.9
