"""Convolutions in the Fourier domain, against the singular values of their dense matrices."""

import pytest
import torch
from torch.nn import functional

from lipnet.layers.frequency import conv_operator, image_kernel, response, transfer_function

# output and input channels, kernel, size, stride, dilation, groups
CASES = [(3, 2, 3, (4, 6), 1, 1, 1), (2, 4, 4, (8, 4), 2, 1, 1), (4, 4, 3, (6, 6), 3, 1, 2), (2, 2, 3, (3, 5), 1, 2, 1)]


def _dense(weight, size, stride, dilation, groups, mode):
    """The matrix of a convolution that pads its images by the kernel's reach, column by column."""
    reach = dilation * (weight.shape[-1] - 1)
    basis = torch.eye(weight.shape[1] * groups * size[0] * size[1], dtype=torch.float64)
    images = basis.unflatten(1, (-1, *size))
    if mode == "circular":  # of any reach: a tap may wrap around more than once
        rows, columns = (torch.arange(side + reach) % side for side in size)
        padded = images[:, :, rows][:, :, :, columns]
    else:
        padded = functional.pad(images, (reach // 2, reach - reach // 2) * 2)
    return functional.conv2d(padded, weight, None, stride, 0, dilation, groups).flatten(1).mT


@pytest.mark.parametrize(("out", "inputs", "kernel", "size", "stride", "dilation", "groups"), CASES)
def test_a_circular_convolution_has_the_same_singular_values(out, inputs, kernel, size, stride, dilation, groups):
    weight = torch.randn(out, inputs // groups, kernel, kernel, dtype=torch.float64)
    blocks = transfer_function(weight, size, stride, dilation, groups)
    assert blocks.shape == (
        groups, size[0] * size[1] // stride**2, out // groups, inputs // groups * stride**2
    )  # fmt: skip
    found = torch.linalg.svdvals(blocks).flatten().sort(descending=True).values
    expected = torch.linalg.svdvals(_dense(weight, size, stride, dilation, groups, "circular"))
    torch.testing.assert_close(found, expected[: len(found)])
    assert not expected[len(found) :].abs().gt(1e-9).any()


@pytest.mark.parametrize(("out", "inputs", "kernel", "size", "stride", "dilation", "groups"), CASES)
def test_half_of_the_frequencies_have_the_norms_of_all(out, inputs, kernel, size, stride, dilation, groups):
    weight = torch.randn(out, inputs // groups, kernel, kernel, dtype=torch.float64)
    every, half = (transfer_function(weight, size, stride, dilation, groups, distinct) for distinct in (False, True))
    height, width = size[0] // stride, size[1] // stride
    assert half.shape[1] == height * (width // 2 + 1) <= every.shape[1]
    norms, others = (torch.linalg.matrix_norm(blocks, ord=2).flatten() for blocks in (half, every))
    assert all((norms - norm).abs().min() < 1e-12 for norm in others)


@pytest.mark.parametrize("size", [(4, 6), (9, 5)])
def test_a_zero_padded_convolution_has_at_most_the_norm(size):
    weight = torch.randn(3, 2, 3, 3, dtype=torch.float64)
    norm = torch.linalg.matrix_norm(_dense(weight, size, 1, 1, 1, "zeros"), ord=2)
    bound = torch.linalg.svdvals(conv_operator(weight, size, 1, 1, 1, "zeros")).max()
    assert norm <= bound <= 1.5 * norm


@pytest.mark.parametrize("size", [(4, 4), (5, 3), (3, 5), (4, 2), (1, 1)])
@pytest.mark.parametrize("taps", [1, 2, 3, 5])
def test_a_kernel_is_made_of_its_matrices(taps, size):
    """As large as the image, it convolves as the small kernel does, whose middle tap moves nothing."""
    kernel, images = torch.randn(3, 2, taps, taps).double(), torch.randn(2, 2, *size).double()
    blocks = response(kernel, size)
    assert blocks.shape == (size[0], size[1] // 2 + 1, 3, 2)
    found = image_kernel(blocks, size)
    assert found.shape == (3, 2, max(size), max(size))
    torch.testing.assert_close(response(found, size), blocks)
    torch.testing.assert_close(_circular(images, found), _circular(images, kernel))
    middle = torch.zeros(1, 1, taps, taps).double()
    middle[..., taps // 2, taps // 2] = 1
    torch.testing.assert_close(_circular(images[:, :1], middle), images[:, :1])
    torch.testing.assert_close(response(middle, size).abs(), torch.ones(size[0], size[1] // 2 + 1, 1, 1).double())


def _circular(images, kernel):
    """Pixel by pixel, with taps that may wrap around more than once."""
    taps, total = kernel.shape[-1], 0
    for row in range(taps):
        for column in range(taps):
            moved = images.roll((taps // 2 - row, taps // 2 - column), (-2, -1))
            total = total + torch.einsum("oi,bihw->bohw", kernel[..., row, column], moved)
    return total
