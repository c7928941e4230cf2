"""Transposed AOC against torch's own transposed convolution, whose borders are laid round the torus."""

import pytest
import torch
from torch.nn import functional

from lipnet.certify import lipschitz_bound, to_plain
from lipnet.layers import AOCConv2d, AOCConvTranspose2d
from lipnet.layers.convolutions.aoc import aoc_kernel

# in, out, kernel size, stride, groups, dilation
SIZES = [
    (6, 4, 3, 2, 1, 1), (12, 2, 4, 2, 1, 1), (4, 6, 3, 1, 1, 1), (4, 6, 3, 1, 2, 2), (6, 4, 3, 2, 2, 1),
    (7, 2, 5, 3, 1, 1), (3, 3, 6, 2, 1, 1), (9, 1, 3, 3, 1, 1), (2, 5, 1, 1, 1, 1),
]  # fmt: skip


def moved(*sizes: int, **options: object) -> AOCConvTranspose2d:
    layer = AOCConvTranspose2d(*sizes, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return layer


def kernel_of(layer: AOCConvTranspose2d) -> torch.Tensor:
    """As ``nn.ConvTranspose2d`` has it: ``(in, out / groups, k, k)``."""
    phases = layer[0]
    channels = phases.out_channels // phases.step**2 // phases.groups
    return aoc_kernel(phases.free_parameters(), channels, phases.step, phases.orthogonalize).flatten(0, 1)


@pytest.mark.parametrize(("inputs", "outputs", "size", "stride", "groups", "dilation"), SIZES)
def test_is_torchs_transposed_convolution(inputs, outputs, size, stride, groups, dilation):
    layer = moved(inputs, outputs, size, stride, groups=groups, dilation=dilation)
    images = torch.randn(2, inputs, 5, 4, dtype=torch.float64)
    whole = functional.conv_transpose2d(images, kernel_of(layer), None, stride, groups=groups, dilation=dilation)
    before = (-(-size // stride) - 1) // 2 * stride * dilation
    expected = torch.zeros(2, outputs, 5 * stride, 4 * stride, dtype=torch.float64)
    for row in range(whole.shape[-2]):
        for column in range(whole.shape[-1]):
            place = (row - before) % expected.shape[-2], (column - before) % expected.shape[-1]
            expected[:, :, place[0], place[1]] += whole[:, :, row, column]
    torch.testing.assert_close(layer(images), expected + layer[2].offset, atol=1e-12, rtol=0)


def test_is_the_transpose_of_a_strided_convolution():
    layer = moved(6, 4, 2, 2, bias=False)
    strided = AOCConv2d(4, 6, 2, 2, bias=False).double()
    strided.load_state_dict({name.removeprefix("0."): value for name, value in layer.state_dict().items()})
    images = torch.randn(1, 6, 3, 4, dtype=torch.float64)
    large = torch.randn(1, 4, 6, 8, dtype=torch.float64)
    torch.testing.assert_close((layer(images) * large).sum(), (images * strided(large)).sum())


def test_back_and_forth_is_the_identity():
    """From fewer numbers to more nothing is lost, and the transpose leads back."""
    up = moved(4, 2, 3, 2, bias=False)
    images = torch.randn(1, 4, 4, 5, dtype=torch.float64)
    images.requires_grad_()
    (back,) = torch.autograd.grad(up(images), images, up(images).detach())
    torch.testing.assert_close(back, images)


def test_every_parameter_learns():
    layer = moved(13, 2, 4, 2)
    layer(torch.randn(4, 13, 4, 4, dtype=torch.float64)).pow(3).sum().backward()
    assert all(bool((parameter.grad.abs() > 1e-8).any()) for parameter in layer.parameters())


@pytest.mark.parametrize("mode", ["circular", "zeros"])
def test_is_certified_and_made_plain(mode):
    layer = moved(6, 4, 3, 2, padding_mode=mode)
    plain = to_plain(layer)
    assert type(plain) is torch.nn.Sequential
    images = torch.randn(2, 6, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(plain(images), layer(images), atol=1e-12, rtol=0)
    for network in (layer, plain):
        assert lipschitz_bound(network, (6, 5, 4)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"stride": 4}, "kernel_size 3 is smaller than stride 4"), ({"padding": 1}, "takes padding='same' only, got 1"),
        ({"stride": 2, "dilation": 2}, "stride 2 and dilation 2 cannot be combined"),
        ({"groups": 4}, "cannot be split into 4 groups"), ({"padding_mode": "reflect"}, "padding_mode"),
    ],
)  # fmt: skip
def test_refuses(options, reason):
    with pytest.raises(ValueError, match=reason):
        AOCConvTranspose2d(4, 6, 3, **options)
