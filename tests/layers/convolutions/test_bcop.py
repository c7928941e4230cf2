import itertools
import math
import re
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from lipnet.certify import singular_values
from lipnet.layers import BCOPConv2d, OrthogonalizationError, bjorck, cholesky
from lipnet.layers.convolutions.bcop import bcop_kernel

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}

LAYERS = [
    ("k1", (4, 3, 1), {}),
    ("k2", (4, 3, 2), {}),
    ("k3", (5, 4, 3), {}),
    ("k3_narrow_to_wide", (3, 6, 3), {}),
    ("k3_square", (4, 4, 3), {}),
    ("k4_odd_widths", (3, 5, 4), {}),
    ("k5", (4, 3, 5), {}),
    ("k5_narrow_to_wide", (2, 4, 5), {}),
    ("stride2_k2", (2, 5, 2), {"stride": 2}),
    ("stride2_k4", (2, 5, 4), {"stride": 2}),
    ("stride2_k6", (1, 5, 6), {"stride": 2}),
    ("stride3_k6", (1, 4, 6), {"stride": 3}),
    ("dilation2_k3", (3, 4, 3), {"dilation": 2}),
    ("groups2", (6, 4, 3), {"groups": 2}),
    ("groups2_stride2", (4, 6, 4), {"groups": 2, "stride": 2}),
]
over_layers = pytest.mark.parametrize(("sizes", "options"), [pytest.param(*row[1:], id=row[0]) for row in LAYERS])


def moved(sizes: tuple[int, int, int], options: dict, noise: float = 0.2) -> BCOPConv2d:
    """A float64 layer whose free matrices are no longer orthonormal, as after some training."""
    torch.manual_seed(1)
    layer = BCOPConv2d(*sizes, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return layer


def parts(layer: BCOPConv2d) -> tuple[torch.Tensor, torch.Tensor]:
    """H and the projectors' columns; a layer of one tap has no projectors."""
    bases = layer.raw_projectors
    return layer.orthogonalize(layer.raw_matrix), layer.orthogonalize(bases) if bases.numel() else bases


def orthonormal(*shape: int) -> torch.Tensor:
    values = torch.randn(*shape, dtype=torch.float64)
    wide = shape[-2] < shape[-1]
    columns = torch.linalg.qr(values.mT if wide else values).Q
    return columns.mT if wide else columns


# The paper's formulas, one loop for each sum.


def block_convolution(x: dict, y: dict) -> dict:
    out = {}
    for (a, left), (b, right) in itertools.product(x.items(), y.items()):
        tap = (a[0] + b[0], a[1] + b[1])
        out[tap] = out.get(tap, 0) + left @ right
    return out


def two_by_two(p: torch.Tensor, q: torch.Tensor) -> dict:
    eye = torch.eye(len(p), dtype=p.dtype)
    return {(0, 0): p @ q, (0, 1): p @ (eye - q), (1, 0): (eye - p) @ q, (1, 1): (eye - p) @ (eye - q)}


def paper_kernel(matrix: torch.Tensor, bases: torch.Tensor) -> torch.Tensor:
    """``(out, in, k, k)`` of one group in float64."""
    outputs, inputs = matrix.shape
    projectors = [basis @ basis.T for basis in bases]
    product = {(0, 0): torch.eye(max(outputs, inputs), dtype=matrix.dtype)}
    for p, q in zip(projectors[::2], projectors[1::2], strict=True):
        product = block_convolution(product, two_by_two(p, q))
    at_origin = {(0, 0): matrix}
    taps = block_convolution(*((at_origin, product) if inputs >= outputs else (product, at_origin)))
    size = len(projectors) // 2 + 1
    kernel = torch.zeros(outputs, inputs, size, size, dtype=matrix.dtype)
    for (row, column), tap in taps.items():
        kernel[:, :, row, column] = tap
    return kernel


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(
    ("outputs", "inputs"), [(3, 6), (6, 3), (4, 4), (5, 5), (2, 7), (7, 2), (1, 4), (4, 1), (1, 1)]
)
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_kernel_is_the_papers(kernel_size, outputs, inputs, dtype):
    groups, widest = 3, max(outputs, inputs)
    matrix = orthonormal(groups, outputs, inputs)
    bases = orthonormal(groups, 2 * (kernel_size - 1), widest, widest // 2)
    expected = torch.stack([paper_kernel(*group) for group in zip(matrix, bases, strict=True)])
    kernel = bcop_kernel(matrix.to(dtype), bases.to(dtype))
    assert kernel.dtype == dtype
    torch.testing.assert_close(kernel.double(), expected, atol=TOLERANCE[dtype], rtol=0)


@pytest.mark.parametrize(("outputs", "inputs"), [(2, 4), (4, 2), (3, 3)])
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_kernel_gradients(kernel_size, outputs, inputs):
    matrix = torch.randn(2, outputs, inputs, dtype=torch.float64, requires_grad=True)
    widest = max(outputs, inputs)
    bases = torch.randn(2, 2 * (kernel_size - 1), widest, widest // 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(bcop_kernel, (matrix, bases))


@over_layers
def test_layer_convolves_with_the_papers_kernel(sizes, options):
    """Strided layers: a pixel-unshuffle, then the inner kernel as a stride-1 circular convolution."""
    layer = moved(sizes, options)
    matrix, bases = parts(layer)
    kernel = torch.cat([paper_kernel(*group) for group in zip(matrix, bases, strict=True)])
    taps = sizes[2] // layer.stride
    before, after = layer.dilation * (taps // 2), layer.dilation * ((taps - 1) // 2)
    inputs = torch.randn(2, sizes[0], 12, 6, dtype=torch.float64)
    inner = functional.pixel_unshuffle(inputs, layer.stride)
    if before or after:
        inner = functional.pad(inner, (before, after, before, after), mode="circular")
    expected = functional.conv2d(inner, kernel, layer.bias, dilation=layer.dilation, groups=layer.groups)
    torch.testing.assert_close(layer(inputs), expected, atol=1e-12, rtol=0)


@over_layers
def test_weight_has_the_shape_of_conv2d(sizes, options):
    layer, plain = BCOPConv2d(*sizes, **options), nn.Conv2d(*sizes, **options)
    assert layer.weight.shape == plain.weight.shape
    assert layer.bias.shape == plain.bias.shape


@over_layers
def test_taps_sum_to_the_orthogonal_matrix(sizes, options):
    layer = moved(sizes, options)
    matrix, bases = parts(layer)
    total = bcop_kernel(matrix, bases).sum((-2, -1))
    torch.testing.assert_close(total, matrix, atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.linalg.svdvals(total), torch.ones(total.shape[0], min(total.shape[-2:])).double())


@over_layers
def test_projectors_have_half_rank(sizes, options):
    layer = moved(sizes, options)
    bases = parts(layer)[1]
    widest, taps = max(layer.raw_matrix.shape[-2:]), sizes[2] // layer.stride
    assert bases.shape[:2] == (layer.groups, 2 * (taps - 1))
    projectors = bases @ bases.mT
    torch.testing.assert_close(projectors @ projectors, projectors, atol=1e-12, rtol=0)
    traces = projectors.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(traces, torch.full_like(traces, widest // 2))


CHANNELS = {"square": (4, 4), "wide": (6, 4), "tall": (4, 6), "odd": (5, 5), "odd_wide": (5, 3), "odd_tall": (3, 7)}
GRADIENT_LAYERS = [
    *(
        pytest.param((*channels, size), {}, id=f"{name}_k{size}")
        for name, channels in CHANNELS.items()
        for size in (1, 2, 3, 4, 5)
    ),
    *(pytest.param(*row[1:], id=row[0]) for row in LAYERS if row[2]),  # strides, dilation, groups
    pytest.param((6, 10, 6), {"groups": 2, "stride": 2}, id="groups2_stride2_k6"),
    pytest.param((9, 6, 5), {"groups": 3}, id="groups3_k5"),
]
over_gradients = pytest.mark.parametrize(("sizes", "options"), GRADIENT_LAYERS)


def dead_slices(layer: BCOPConv2d) -> list[str]:
    """Groups, projectors, rows and columns of the free matrices, and biases, which a random loss does not move."""
    inputs = torch.randn(4, layer.in_channels, 6 * layer.stride, 6 * layer.stride, dtype=torch.float64)
    outputs = layer(inputs)
    (outputs - torch.randn_like(outputs)).square().mean().backward()
    dead = [] if bool((layer.bias.grad.abs() > 1e-8).all()) else ["bias"]
    for name, parameter in (("raw_matrix", layer.raw_matrix[:, None]), ("raw_projectors", layer.raw_projectors)):
        gradient = getattr(layer, name).grad
        if not parameter.numel():
            continue
        size = (torch.zeros_like(parameter) if gradient is None else gradient.view_as(parameter)).abs()
        for axis, lines in (("row", size.amax(-1)), ("column", size.amax(-2))):
            for group, matrix, line in (~(lines > 1e-8)).nonzero().tolist():
                dead.append(f"{name} group {group} matrix {matrix} {axis} {line}")
    return dead


def without_effect(layer: BCOPConv2d) -> list[str]:
    """In a square orthogonal matrix the others determine the last column, but for its sign: QR does not read it."""
    _, outer, inner = layer.raw_matrix.shape
    square = outer == inner and layer.orthogonalize is not bjorck
    return [f"raw_matrix group {group} matrix 0 column {inner - 1}" for group in range(layer.groups) if square]


@over_gradients
@pytest.mark.parametrize("orthogonalize", [cholesky, bjorck])
def test_every_parameter_slice_learns(sizes, options, orthogonalize):
    """What singular values cannot show: a kernel may be orthogonal, and half of the parameters without a part in it."""
    layer = moved(sizes, {**options, "orthogonalize": orthogonalize})
    assert dead_slices(layer) == without_effect(layer)


def reuses_the_first_pair(matrix: torch.Tensor, bases: torch.Tensor, stride: int) -> torch.Tensor:
    """The defect of the published code: every 2x2 factor is built from the first pair of projectors."""
    return bcop_kernel(matrix, torch.cat([bases[..., :2, :, :]] * (bases.shape[-3] // 2), -3), stride)


@pytest.mark.parametrize(("sizes", "options"), [row for row in GRADIENT_LAYERS if row.values[0][2] == 3])
def test_a_reused_pair_is_orthogonal_and_caught(sizes, options, monkeypatch):
    monkeypatch.setattr("lipnet.layers.convolutions.bcop.bcop_kernel", reuses_the_first_pair)
    layer = moved(sizes, options)
    values = singular_values(layer, (sizes[0], 12, 12))
    torch.testing.assert_close(values, torch.ones_like(values), atol=1e-12, rtol=0)
    widest = max(layer.raw_matrix.shape[-2:])
    lines = [("row", line) for line in range(widest)] + [("column", line) for line in range(widest // 2)]
    unused = [
        f"raw_projectors group {group} matrix {matrix} {axis} {line}"
        for group, matrix, (axis, line) in itertools.product(range(layer.groups), (2, 3), lines)
    ]
    assert sorted(dead_slices(layer)) == sorted(unused + without_effect(layer))


@over_layers
def test_circular_shift_equivariance(sizes, options):
    layer = moved(sizes, options)
    inputs = torch.randn(2, sizes[0], 12, 6, dtype=torch.float64)
    shifted = layer(inputs.roll((2 * layer.stride, layer.stride), (2, 3)))
    torch.testing.assert_close(shifted, layer(inputs).roll((2, 1), (2, 3)), atol=1e-12, rtol=0)


@pytest.mark.parametrize("image", [(5, 7), (2, 2), (9, 3), (16, 16)])
def test_keeps_norms_at_sizes_it_was_not_trained_at(image):
    layer = BCOPConv2d(3, 6, 3, bias=False).double()
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        layer(torch.randn(4, 3, 8, 8, dtype=torch.float64)).pow(4).mean().backward()
        optimizer.step()
    inputs = torch.randn(4, 3, *image, dtype=torch.float64)
    torch.testing.assert_close(layer(inputs).flatten(1).norm(dim=1), inputs.flatten(1).norm(dim=1))


@pytest.mark.parametrize("iterations", [1, 2, 3])
@pytest.mark.parametrize("sizes", [(4, 3, 2), (3, 5, 3), (4, 4, 5)])
def test_unfinished_bjorck_is_below_one(sizes, iterations):
    """Too few iterations cost orthogonality, never the Lipschitz constant."""
    layer = moved(sizes, {"orthogonalize": partial(bjorck, iterations=iterations), "bias": False}, noise=0.5)
    with torch.no_grad():
        basis = torch.eye(sizes[0] * 25, dtype=torch.float64).view(-1, sizes[0], 5, 5)
        values = torch.linalg.svdvals(layer(basis).flatten(1))
    assert float(values.max()) <= 1 + 1e-6
    assert float(values.min()) < 0.99


def test_one_by_one_kernel_is_the_matrix():
    layer = moved((5, 3, 1), {})
    expected = parts(layer)[0][0, :, :, None, None]
    torch.testing.assert_close(layer.weight, expected, atol=0, rtol=0)


def test_starts_orthogonal_with_a_small_bias():
    layer = BCOPConv2d(6, 4, 3)
    eye = torch.eye(3).expand(1, 4, 3, 3)
    torch.testing.assert_close(layer.raw_projectors.mT @ layer.raw_projectors, eye, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.raw_matrix @ layer.raw_matrix.mT, torch.eye(4)[None], atol=1e-5, rtol=0)
    assert 0 < float(layer.bias.detach().abs().max()) <= 1 / math.sqrt(4)
    assert BCOPConv2d(6, 4, 3, bias=False).bias is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            {"padding_mode": mode},
            f"BCOPConv2d takes padding_mode 'circular' (orthogonal) or 'zeros' (1-Lipschitz), got '{mode}': reflecting "
            "or replicating pixels repeats some of them, which multiplies the Lipschitz constant by up to 2",
            id=mode,
        )
        for mode in ("reflect", "replicate", "other")
    ]
    + [
        pytest.param(
            {"padding": padding},
            f"BCOPConv2d takes padding='same' only, got {padding!r}: any other loses or repeats pixels",
            id=f"padding_{padding}",
        )
        for padding in ("valid", 0, 2, (1, 2), (1, 1, 1), True, 1.0, None)
    ]
    + [
        pytest.param(
            {"kernel_size": 3, "stride": 2},
            "kernel_size 3 is not a multiple of stride 2: BCOPConv2d strides by a pixel-unshuffle, which leaves a "
            "kernel of kernel_size / stride; use 2",
            id="kernel_3_stride_2",
        ),
        pytest.param({"kernel_size": 1, "stride": 2}, "kernel_size 1 is not a multiple of stride 2", id="k1_stride_2"),
        pytest.param({"groups": 3}, "channels 4 -> 6 cannot be split into 3 groups", id="groups_3"),
        pytest.param({"groups": 4}, "channels 4 -> 6 cannot be split into 4 groups", id="groups_4"),
        pytest.param(
            {"kernel_size": 4, "stride": 2, "dilation": 2},
            "stride 2 and dilation 2 cannot be combined",
            id="stride_and_dilation",
        ),
    ]
    + [
        pytest.param(
            {name: value}, f"BCOPConv2d needs {name} to be a whole number >= 1, got {value!r}", id=f"{name}_{value}"
        )
        for name in ("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups")
        for value in (0, -1, 1.5)
    ],
)
def test_refuses_at_construction(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        BCOPConv2d(**{"in_channels": 4, "out_channels": 6, "kernel_size": 3, **arguments})


@pytest.mark.parametrize(
    ("arguments", "image", "message"),
    [
        ((4, 6, 2, 2), (5, 6), "needs an image size divisible by its stride 2, got 5x6"),
        ((4, 6, 3, 3), (6, 8), "needs an image size divisible by its stride 3, got 6x8"),
        ((4, 6, 5), (1, 8), "pads by 2 pixels, more than an image of 1x8 has"),
        ((4, 6, 5), (8, 1), "pads by 2 pixels, more than an image of 8x1 has"),
    ],
)
def test_refuses_images(arguments, image, message):
    layer = BCOPConv2d(*arguments)
    with pytest.raises(ValueError, match=message) as refusal:
        layer(torch.zeros(1, 4, *image))
    assert str(refusal.value).startswith(f"{layer} ")


def test_degenerate_parameters_name_the_layer():
    layer = BCOPConv2d(4, 6, 3)
    layer.raw_projectors.data[0, 2, :, 1] = 0
    with pytest.raises(OrthogonalizationError, match=r"BCOPConv2d\(4, 6, kernel_size=3\): cannot orthonormalise"):
        layer(torch.zeros(1, 4, 5, 5))


@pytest.mark.parametrize("orthogonalize", [cholesky, bjorck])
@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "groups"), [(4, 4, 3, 1), (2, 6, 3, 1), (6, 2, 5, 1), (8, 8, 7, 2), (3, 5, 1, 1)]
)
def test_it_can_begin_as_the_identity(inputs, outputs, size, groups, orthogonalize):
    layer = BCOPConv2d(inputs, outputs, size, groups=groups, initial="identity", orthogonalize=orthogonalize)
    expected = torch.zeros(layer.weight_shape())
    expected[:, :, size // 2, size // 2] = torch.eye(outputs // groups, inputs // groups).repeat(groups, 1)
    if max(inputs, outputs) % 2 == 0 or size == 1:
        torch.testing.assert_close(layer.weight, expected, rtol=0, atol=1e-5)
    else:
        assert float((layer.weight.detach() * expected).sum()) > inputs // groups - 1


def test_the_identity_is_a_start_to_learn_from():
    """Every free parameter has a gradient, and the kernel leaves the identity."""
    layer = BCOPConv2d(4, 4, 3, initial="identity")
    before = layer.weight.detach().clone()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    images, wanted = torch.randn(2, 8, 4, 6, 6)
    for _ in range(3):
        optimizer.zero_grad()
        (layer(images) - wanted).square().mean().backward()
        assert all(bool(matrix.grad.any()) for matrix in layer.free_parameters())
        optimizer.step()
    assert float((layer.weight.detach() - before)[:, :, 0, 0].abs().max()) > 0.01


def test_an_unknown_start_is_refused():
    with pytest.raises(ValueError, match="BCOPConv2d starts as one of random, identity, not as 'dirac'"):
        BCOPConv2d(4, 4, 3, initial="dirac")
