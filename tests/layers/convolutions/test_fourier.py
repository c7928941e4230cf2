"""Convolutions by the Fourier transform against plain ones of the same weight, with and without gradients."""

import pytest
import torch

from lipnet import to_plain
from lipnet.certify import rounding_bound
from lipnet.layers import CayleyConv2d
from lipnet.layers.convolutions.fourier import circular_conv2d
from lipnet.layers.convolutions.padded import same_conv2d, same_padding

# in, out, side of the kernel, stride, size
CASES = [(2, 3, 5, 1, (5, 5)), (2, 3, 6, 1, (4, 6)), (1, 2, 7, 1, (7, 4)), (3, 2, 6, 2, (6, 4)), (1, 1, 9, 3, (9, 6))]


@pytest.mark.parametrize(("inputs", "outputs", "side", "stride", "size"), CASES)
def test_it_is_the_plain_convolution(inputs, outputs, side, stride, size):
    """Of any kernel, those whose taps wrap around a short side included, and its gradients too."""
    images = torch.randn(3, inputs, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(outputs, inputs, side, side, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(outputs, dtype=torch.float64, requires_grad=True)
    found = circular_conv2d(images, weight, bias, size, stride)
    expected = same_conv2d(images, weight, bias, same_padding(side, stride), "circular", stride, 1, 1)
    torch.testing.assert_close(found, expected)
    parts = torch.autograd.grad(found.pow(3).sum(), (images, weight, bias))
    torch.testing.assert_close(parts, torch.autograd.grad(expected.pow(3).sum(), (images, weight, bias)))


def test_under_autocast_it_is_computed_in_float32():
    layer, images = CayleyConv2d(2, 3, 3, image_size=4), torch.randn(2, 2, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(images.bfloat16())
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.float(), layer(images), atol=0.05, rtol=0.05)


def test_its_rounding_is_that_of_the_plain_convolution():
    layer = CayleyConv2d(2, 3, 3, image_size=4).eval()
    with pytest.raises(TypeError, match="it convolves by a Fourier transform; use to_plain"):
        rounding_bound(layer, (2, 4, 4), torch.float32)
    assert rounding_bound(to_plain(layer), (2, 4, 4), torch.float32).error.slope < 1e-4


def test_images_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r"made for images of \(4, 6\), got \(6, 4\)"):
        CayleyConv2d(2, 3, 3, image_size=(4, 6))(torch.zeros(1, 2, 6, 4))
    with pytest.raises(ValueError, match="pads by 4 pixels, more than an image of 3x8 has"):
        CayleyConv2d(2, 3, 3, image_size=(3, 8))
    with pytest.raises(ValueError, match="divisible by its stride 2, got 5x4"):
        CayleyConv2d(2, 3, 2, 2, image_size=(5, 4))
    with pytest.raises(ValueError, match="kernel_size 3 is not a multiple of stride 2"):
        CayleyConv2d(2, 3, 3, 2, image_size=4)
