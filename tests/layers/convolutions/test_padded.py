from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from lipnet.layers import BCOPConv2d, PaddedConv2d
from lipnet.layers.convolutions.padded import _Wrap, same_padding


@pytest.mark.parametrize("padding_mode", ["circular", "zeros"])
@pytest.mark.parametrize("image", [(6, 6), (12, 6), (7, 5)], ids=str)
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_keeps_the_image_size(kernel_size, dilation, image, padding_mode):
    layer = PaddedConv2d(2, 3, kernel_size, dilation=dilation, padding_mode=padding_mode)
    assert layer(torch.randn(4, 2, *image)).shape == (4, 3, *image)


@pytest.mark.parametrize("padding_mode", ["circular", "zeros"])
@pytest.mark.parametrize(
    ("kernel_size", "stride"), [(1, 2), (2, 2), (4, 2), (6, 2), (3, 3), (6, 3), (3, 2), (5, 2), (4, 3), (2, 3)]
)
def test_divides_the_image_size_by_the_stride(kernel_size, stride, padding_mode):
    layer = PaddedConv2d(2, 3, kernel_size, stride=stride, padding_mode=padding_mode)
    assert layer(torch.randn(4, 2, 12, 6)).shape == (4, 3, 12 // stride, 6 // stride)


@pytest.mark.parametrize(
    ("kernel_size", "stride", "dilation", "padding"),
    [
        (1, 1, 1, (0, 0)), (2, 1, 1, (1, 0)), (3, 1, 1, (1, 1)), (4, 1, 1, (2, 1)), (5, 1, 1, (2, 2)),
        (2, 1, 2, (2, 0)), (3, 1, 2, (2, 2)), (2, 2, 1, (0, 0)), (4, 2, 1, (2, 0)), (6, 2, 1, (2, 2)),
        (3, 3, 1, (0, 0)), (6, 3, 1, (3, 0)),
    ],
)  # fmt: skip
def test_padding_before_and_after(kernel_size, stride, dilation, padding):
    assert same_padding(kernel_size, stride, dilation) == padding
    assert PaddedConv2d(1, 1, kernel_size, stride, dilation).padding == padding


# One row of pixels 1 2 3 4 and one kernel row; the kernel's other rows are zero. A convolution layer correlates.
BY_HAND = [
    ("k2_circular", "circular", (10, 1), (41, 12, 23, 34)),  # one pixel before, none after
    ("k2_zeros", "zeros", (10, 1), (1, 12, 23, 34)),
    ("k3_circular", "circular", (100, 10, 1), (412, 123, 234, 341)),  # one before, one after
    ("k3_zeros", "zeros", (100, 10, 1), (12, 123, 234, 340)),
    ("k4_circular", "circular", (1000, 100, 10, 1), (3412, 4123, 1234, 2341)),  # two before, one after
    ("k4_zeros", "zeros", (1000, 100, 10, 1), (12, 123, 1234, 2340)),
]


@pytest.mark.parametrize("upright", [False, True], ids=["row", "column"])
@pytest.mark.parametrize(("padding_mode", "taps", "expected"), [pytest.param(*row[1:], id=row[0]) for row in BY_HAND])
def test_wraps_by_hand(padding_mode, taps, expected, upright):
    size = len(taps)
    layer = PaddedConv2d(1, 1, size, bias=False, padding_mode=padding_mode)
    weight = torch.zeros(1, 1, size, size)
    weight[0, 0, size // 2] = torch.tensor(taps, dtype=torch.float32)
    image, result = (torch.zeros(1, 1, 4, 4) for _ in range(2))
    image[0, 0, 2] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    result[0, 0, 2] = torch.tensor(expected, dtype=torch.float32)
    if upright:
        weight, image, result = weight.mT.contiguous(), image.mT, result.mT
    layer.copy_from(weight, None)
    assert torch.equal(layer(image).detach(), result)


@pytest.mark.parametrize(
    ("padding_mode", "options"),
    [
        ("circular", {}),
        ("zeros", {}),
        ("circular", {"dilation": 2}),
        ("zeros", {"groups": 2}),
        ("circular", {"kernel_size": 4, "stride": 2}),
        ("zeros", {"kernel_size": 4, "stride": 2, "bias": False}),
        ("circular", {"kernel_size": 2}),
    ],
)
def test_computes_what_bcop_does_with_the_same_weight(padding_mode, options):
    arguments = {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "padding_mode": padding_mode, **options}
    constrained, plain = BCOPConv2d(**arguments), PaddedConv2d(**arguments)
    inputs = torch.randn(2, 4, 6, 8)
    assert not torch.allclose(plain(inputs), constrained(inputs))
    assert plain.copy_from(constrained.weight, constrained.bias) is plain
    torch.testing.assert_close(plain(inputs), constrained(inputs))
    assert plain.padding == constrained.padding
    assert (plain.bias is None) == (constrained.bias is None)


def test_copy_from_copies():
    weight, bias = torch.randn(3, 2, 3, 3, requires_grad=True), torch.randn(3)
    layer = PaddedConv2d(2, 3, 3).copy_from(weight, bias)
    assert torch.equal(layer.weight, weight)
    assert isinstance(layer.weight, nn.Parameter)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    assert weight.detach().abs().sum() > 0
    assert bias.abs().sum() > 0
    assert PaddedConv2d(2, 3, 3).copy_from(weight, None).bias is None


def test_is_made_of_plain_torch_modules():
    layer = PaddedConv2d(2, 3, 3, stride=1, dilation=2, groups=1)
    assert [type(module) for module in layer] == [nn.CircularPad2d, nn.Conv2d]
    assert layer.conv is layer[1]
    assert layer.weight is layer.conv.weight
    assert layer.bias is layer.conv.bias


@pytest.mark.parametrize("padding_mode", ["reflect", "replicate"])
@pytest.mark.parametrize("layer", [PaddedConv2d, BCOPConv2d])
def test_refuses_other_padding_modes(layer, padding_mode):
    make = partial(layer, 2, 3, 3, padding_mode=padding_mode)
    message = rf"{layer.__name__} takes padding_mode 'circular' .* or 'zeros' .*, got '{padding_mode}': reflecting or"
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("padding", [(1, 1), (2, 1), (0, 1), (3, 0), (5, 5)], ids=str)
def test_wrapping_has_the_gradients_of_torchs(padding):
    """The hand-written backward pass, also differentiated, and where borders overlap."""
    images = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda images: _Wrap.apply(images, padding), images)
    assert torch.autograd.gradgradcheck(lambda images: _Wrap.apply(images, padding), images)
    direction = torch.randn(2, 3, 5 + sum(padding), 6 + sum(padding), dtype=torch.float64)
    padded = functional.pad(images, padding * 2, mode="circular")
    assert torch.equal(_Wrap.apply(images, padding), padded)
    given = direction.clone()
    ours, theirs = (torch.autograd.grad(out, images, direction)[0] for out in (_Wrap.apply(images, padding), padded))
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(direction, given)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 2), (2, 2), (5, 1), (1, 1)])
@pytest.mark.parametrize("padding_mode", ["circular", "zeros"])
def test_the_gradient_of_grey_images_is_the_convolution_s(kernel, stride, padding_mode):
    """It is computed by other means where only the images want one."""
    layer = PaddedConv2d(1, 6, kernel, stride, padding_mode=padding_mode).double()
    images = torch.randn(2, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    direction = torch.randn_like(layer(images))
    (expected,) = torch.autograd.grad((layer(images) * direction).sum(), images)
    layer.requires_grad_(False)
    (found,) = torch.autograd.grad((layer(images) * direction).sum(), images)
    torch.testing.assert_close(found, expected)
    assert torch.autograd.gradcheck(layer, images)
    assert torch.autograd.gradgradcheck(layer, images)
