from itertools import pairwise

import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.layers import BCOPConv2d, FitChannels, MaxMin, PixelUnshuffle, Residual
from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.models import build_model

SMALL = ("dataset=cifar10", "model=residual", "model.channels=[8,12]", "model.blocks=[2,1]", "model.kernel_sizes=[3,2]",
         "model.hidden=[6]")  # fmt: skip
SHAPE = (3, 16, 16)


def build(make_config, *overrides):
    torch.manual_seed(0)
    return build_model(make_config(*SMALL, *overrides), SHAPE, 10).eval()


def described(layer):
    if isinstance(layer, BCOPConv2d):
        return layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride
    if isinstance(layer, ConstrainedLinear):
        return layer.in_features, layer.out_features
    return str(layer)


STEM = ["PixelUnshuffle(2)", (12, 8, 3, 1), "MaxMin()"]
LAST = ["Flatten(start_dim=1, end_dim=-1)", (12 * 4 * 4, 6), "MaxMin()", (6, 10)]
FIRST, SECOND = [(8, 8, 3, 1), "MaxMin()"], [(12, 12, 2, 1), "MaxMin()"]
ARCHITECTURES = {
    (): [*STEM, *FIRST, *FIRST, "FitChannels(3)", "PixelUnshuffle(2)", *SECOND, *LAST],
    ("model.down=conv",): [*STEM, *FIRST, *FIRST, (8, 12, 2, 2), "MaxMin()", *SECOND, *LAST],
    ("model.stem=zeros", "model.channels=[14,12]"): [
        "PixelUnshuffle(2)", "FitChannels(14)", (14, 14, 3, 1), "MaxMin()", (14, 14, 3, 1), "MaxMin()",
        "FitChannels(3)", "PixelUnshuffle(2)", *SECOND, *LAST,
    ],
}  # fmt: skip


@pytest.mark.parametrize("overrides", ARCHITECTURES, ids=str)
def test_the_layers_are_those_described(overrides, make_config):
    network = build(make_config, *overrides)
    assert [described(layer) for layer in network[1:]] == ARCHITECTURES[overrides]


CHOICES = [
    *(("conv", conv) for conv in ("bcop", "rko", "l2ne", "ossn", "aol")),
    *((block, "bcop") for block in ("mean", "cpl", "sll", "liresnet", "lipnext")), ("mean", "rko"),
]  # fmt: skip


@pytest.mark.parametrize("centering", [False, True])
@pytest.mark.parametrize(("block", "conv"), CHOICES)
def test_it_is_1_lipschitz_and_no_pair_is_stretched(block, conv, centering, make_config):
    network = build(make_config, f"model.block={block}", f"conv={conv}", f"model.centering={centering}").double()
    network.train()(torch.rand(8, *SHAPE, dtype=torch.float64))
    network.eval()
    assert lipschitz_bound(network, SHAPE) < 1 + 1e-5
    images = torch.rand(16, *SHAPE, dtype=torch.float64)
    others = images + 0.01 * torch.randn(16, *SHAPE, dtype=torch.float64)
    with torch.no_grad():
        stretched = (network(images) - network(others)).norm(dim=1) / (images - others).flatten(1).norm(dim=1)
    assert float(stretched.max()) <= 1


def test_channels_are_centred_before_activations(make_config):
    layers = [type(layer).__name__ for layer in build(make_config, "model.centering=true", "model.down=conv")]
    assert all(before == "BatchCentering" for before, layer in pairwise(layers) if layer == "MaxMin")
    assert layers.count("BatchCentering") == layers.count("MaxMin") == 6


def test_a_mean_of_two_is_what_the_block_says(make_config):
    network = build(make_config, "model.block=mean")
    block = next(layer for layer in network if isinstance(layer, Residual))
    conv, activation, _ = block.branch
    images = torch.rand(2, 8, 8, 8)
    torch.testing.assert_close(block(images), (images + activation(conv(images))) / 2)
    assert isinstance(activation, MaxMin)


def test_nothing_is_lost_before_the_first_stage(make_config):
    """Zeros for missing channels, and a pixel-unshuffle, keep the norm of every image."""
    network = build(make_config, "model.stem=zeros", "model.channels=[14,12]")
    before = nn.Sequential(*(layer for layer in network[1:3]))
    assert [type(layer) for layer in before] == [PixelUnshuffle, FitChannels]
    images = torch.rand(2, *SHAPE)
    torch.testing.assert_close(before(images).flatten(1).norm(dim=1), images.flatten(1).norm(dim=1))


def test_channels_of_an_image_are_never_grouped(make_config):
    network = build(make_config, "conv.groups=2")
    assert [layer.groups for layer in network if isinstance(layer, BCOPConv2d)] == [1, 2, 2, 2]
