import pytest
import torch
from torch import nn

from lipnet.layers import FitChannels, Normalize, PixelUnshuffle, Scale


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 1, 6, 6), (2, 3, 6, 12), (3, 12, 6)], ids=str)
def test_pixel_unshuffle_is_torchs(factor, shape):
    inputs = torch.randn(shape)
    assert torch.equal(PixelUnshuffle(factor)(inputs), nn.PixelUnshuffle(factor)(inputs))


def test_pixel_unshuffle_by_hand():
    image = torch.arange(8.0).view(1, 1, 2, 4)  # rows 0 1 2 3 and 4 5 6 7
    expected = torch.tensor([[0.0, 2.0], [1.0, 3.0], [4.0, 6.0], [5.0, 7.0]]).view(1, 4, 1, 2)
    assert torch.equal(PixelUnshuffle(2)(image), expected)


@pytest.mark.parametrize(("factor", "image"), [(2, (5, 4)), (2, (4, 5)), (3, (4, 4))])
def test_pixel_unshuffle_refuses_images(factor, image):
    message = rf"PixelUnshuffle\({factor}\) cannot divide an image of {image[0]}x{image[1]}"
    with pytest.raises(ValueError, match=message):
        PixelUnshuffle(factor)(torch.zeros(1, 2, *image))


@pytest.mark.parametrize("factor", [0, -1])
def test_pixel_unshuffle_refuses_factors(factor):
    with pytest.raises(ValueError, match=f"PixelUnshuffle needs a factor >= 1, got {factor}"):
        PixelUnshuffle(factor)


def test_normalize_by_hand():
    inputs = torch.tensor([[[[1.0, 0.0]], [[0.5, 0.25]]]])
    expected = torch.tensor([[[[2.0, -2.0]], [[0.5, -0.5]]]])
    assert torch.equal(Normalize((0.5, 0.375), (0.25, 0.25))(inputs), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalize_per_channel(dtype):
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 1.0, 2.0])
    module = Normalize(mean.tolist(), std.tolist()).to(dtype)
    inputs = torch.rand(4, 3, 5, 6, dtype=dtype)
    outputs = module(inputs)
    assert outputs.dtype == dtype
    for channel in range(3):
        expected = (inputs[:, channel] - mean[channel].to(dtype)) / std[channel].to(dtype)
        torch.testing.assert_close(outputs[:, channel], expected)


def test_normalize_is_not_learned_and_not_stored():
    module = Normalize((0.5,), (0.25,))
    assert list(module.parameters()) == []
    assert list(module.state_dict()) == []


@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.5,), (0.0,)), ((0.5,), (-1.0,)), ((0.5,), (float("nan"),)), ((0.5,), (1.0, 1.0)), ((), (1.0,))],
)
def test_normalize_refuses(mean, std):
    with pytest.raises(ValueError, match="Normalize needs as many means as positive stds, got mean="):
        Normalize(mean, std)


@pytest.mark.parametrize("factor", [1.0, 2.5, -3.0, 0.0])
def test_scale(factor):
    inputs = torch.randn(3, 4)
    assert torch.equal(Scale(factor)(inputs), factor * inputs)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (PixelUnshuffle(2), "PixelUnshuffle(2)"),
        (Normalize((0.5,), (0.25,)), "Normalize(mean=[0.5], std=[0.25])"),
        (Scale(2.5), "Scale(2.5)"),
    ],
)
def test_shows_its_arguments(module, text):
    assert repr(module) == text


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_channels_are_the_first_ones_and_zeros(shape, channels):
    inputs = torch.rand(shape)
    outputs = FitChannels(channels)(inputs)
    kept = min(channels, 3)
    assert outputs.shape == (2, channels, *shape[2:])
    assert torch.equal(outputs[:, :kept], inputs[:, :kept])
    assert not outputs[:, kept:].any()


def test_no_channels_are_refused():
    with pytest.raises(ValueError, match="FitChannels needs channels >= 1, got 0"):
        FitChannels(0)
