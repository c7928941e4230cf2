"""AOC against its definition: an orthogonal convolution, and behind it patches that do not overlap."""

import pytest
import torch
from torch.nn import functional

from lipnet.layers import AOCConv2d, BCOPConv2d
from lipnet.layers.convolutions.aoc import before_patches
from lipnet.layers.convolutions.bcop import bcop_kernel

# in, out, kernel size, stride, groups, and the shapes of what is learned for each group
STRIDED = [
    (4, 6, 3, 2, 1, ((6, 16), (2, 4, 2))),
    (2, 12, 4, 2, 1, ((12, 12), (3, 2), (4, 3, 1))),
    (4, 6, 2, 2, 2, ((3, 8), (0, 2, 1))),
    (1, 20, 2, 2, 1, ((20, 4), (0, 1, 0))),
    (3, 2, 5, 3, 1, ((2, 27), (4, 3, 1))),
]


def moved(*sizes: int, **options: int) -> AOCConv2d:
    torch.manual_seed(0)
    layer = AOCConv2d(*sizes, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return layer


@pytest.mark.parametrize(("inputs", "outputs", "size", "stride", "groups", "shapes"), STRIDED)
def test_a_stride_is_taken_by_patches_behind_a_convolution(inputs, outputs, size, stride, groups, shapes):
    layer = moved(inputs, outputs, size, stride, groups=groups)
    assert tuple(tuple(raw.shape[1:]) for raw in layer.free_parameters()) == shapes
    assert layer.weight.shape == (outputs, inputs // groups, size, size)
    patches, *matrix, bases = (layer.orthogonalize(raw) if raw.numel() else raw for raw in layer.free_parameters())
    identity = torch.eye(inputs // groups, dtype=torch.float64).expand(groups, -1, -1)
    kernel = bcop_kernel(matrix[0] if matrix else identity, bases)
    images = torch.randn(2, inputs, 3 * size, 3 * size, dtype=torch.float64)
    middle = functional.conv2d(images, kernel.flatten(0, 1), groups=groups)
    expected = functional.conv2d(
        middle, patches.unflatten(-1, (-1, stride, stride)).flatten(0, 1), stride=stride, groups=groups
    )
    found = functional.conv2d(images, layer.weight, stride=stride, groups=groups)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("sizes", [(4, 3, 3), (3, 5, 2), (4, 4, 1)])
def test_without_a_stride_it_is_bcop(sizes):
    layer, other = moved(*sizes), BCOPConv2d(*sizes).double()
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer.weight, other.weight, atol=0, rtol=0)


def test_every_parameter_learns():
    layer = moved(2, 13, 4, 2)
    layer(torch.randn(4, 2, 8, 8, dtype=torch.float64)).pow(3).sum().backward()
    assert all(bool((parameter.grad.abs() > 1e-8).any(-1).all()) for parameter in layer.parameters())


def test_gradient():
    kernel = torch.randn(2, 3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    patches = torch.randn(2, 4, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert before_patches(kernel, patches).shape == (2, 4, 2, 3, 3)
    layer = moved(2, 5, 3, 2)
    assert torch.autograd.gradcheck(layer.build_weight, layer.free_parameters())


def test_starts_orthogonal():
    for raw in AOCConv2d(2, 13, 4, 2).free_parameters():
        values = torch.linalg.svdvals(raw.detach())
        torch.testing.assert_close(values, torch.ones_like(values))


def test_refuses_a_kernel_smaller_than_its_stride():
    with pytest.raises(ValueError, match=r"kernel_size 2 is smaller than stride 3: .*; use at least 3$"):
        AOCConv2d(3, 4, 2, 3)
    with pytest.raises(ValueError, match="stride 2 and dilation 2 cannot be combined"):
        AOCConv2d(3, 4, 3, 2, dilation=2)
