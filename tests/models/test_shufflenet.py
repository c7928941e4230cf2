"""The network is as published, and a shuffle stands where it belongs."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from lipnet.certify import certify, lipschitz_bound
from lipnet.certify.plain import hardened
from lipnet.layers import ChannelShuffle, Concat, LearnedShuffle, Residual
from lipnet.models import build_model
from lipnet.options.registry import GROUPS

NARROW = (
    "dataset=cifar10", "model=shufflenet", "model.groups=2", "model.stem=4", "model.channels=[16,24]",
    "model.units=[1,2]", "dataset.mean=[0.0,0.0,0.0]",
)  # fmt: skip


@pytest.fixture
def build(make_config):
    """``build("shuffle=fixed", ...)``: a narrow network for images, in evaluation."""

    def make(*overrides, first=NARROW, shape=(3, 32, 32), outputs=10):
        return build_model(make_config(*first, *overrides), shape, outputs).eval()

    return make


# The channels of the paper's table 1, and the learned numbers for 1000 classes of the same networks in osmr/imgclsmob.
TABLE = {
    1: ([144, 288, 576], 1_531_936),
    2: ([200, 400, 800], 1_733_848),
    3: ([240, 480, 960], 1_865_728),
    4: ([272, 544, 1088], 1_968_344),
    8: ([384, 768, 1536], 2_434_768),
}


@pytest.mark.parametrize("groups", TABLE)
def test_the_networks_of_the_papers_table(groups, build):
    channels, count = TABLE[groups]
    widths = () if groups == 3 else (f"model.groups={groups}", f"model.channels={channels}")  # of 3: the defaults
    with torch.device("meta"):
        network = build(*widths, first=NARROW[:2], outputs=1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 28, 28), (3, 7, 12)])
@pytest.mark.parametrize("shuffle", GROUPS["shuffle"])
def test_logits_of_any_image_size(shuffle, shape, build):
    network = build(f"shuffle={shuffle}", shape=shape, outputs=3)
    images = torch.rand(2, *shape)
    for model in (network, hardened(network)):
        assert model(images).shape == (2, 3)
    blocks = [type(module) for module in network if isinstance(module, (Concat, Residual))]
    assert blocks == [Concat, Concat, Residual]


def reference(network, images, orders):
    """The published forward pass, with a permutation of channels after each first convolution and its activation."""

    def normalised(values, layer):
        scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
        return (values - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]

    convolutions = iter([layer for layer in network.modules() if isinstance(layer, nn.Conv2d)])
    norms = iter([layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)])

    def convolved(values, groups, stride=1):
        layer = next(convolutions)
        assert layer.groups == groups
        padding = layer.kernel_size[0] // 2
        return normalised(functional.conv2d(values, layer.weight, None, stride, padding, 1, groups), next(norms))

    values = functional.relu(convolved(images, 1))
    for index, (order, stride) in enumerate(zip(orders, (2, 2, 1), strict=True)):
        inner = functional.relu(convolved(values, 2 if index else 1))[:, order]
        made = convolved(convolved(inner, len(order), stride), 2)
        if stride == 2:
            pooled = functional.avg_pool2d(values, 3, 2, 1)
            values = functional.relu(torch.cat((pooled, made), 1))
        else:
            values = functional.relu(values + made)
    return network[-1](values.mean((2, 3)))


@torch.no_grad()
@pytest.mark.parametrize("shuffle", ["none", "fixed", "random", "learned"])
def test_forward_is_the_published_one(shuffle, build):
    network = build(f"shuffle={shuffle}").double()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
            layer.weight.uniform_(0.5, 2)
            layer.bias.uniform_(-1, 1)
    deployed = hardened(network)
    orders = [layer.order.tolist() for layer in deployed.modules() if isinstance(layer, ChannelShuffle)]
    if shuffle == "none":
        orders = [list(range(4)), list(range(6)), list(range(6))]
    if shuffle == "fixed":
        assert orders == [[0, 2, 1, 3], [0, 3, 1, 4, 2, 5], [0, 3, 1, 4, 2, 5]]
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(deployed(images), reference(network, images, orders))


def test_each_learned_shuffle_has_numbers_of_its_own(build):
    matrices = [layer.matrix for layer in build("shuffle=learned").modules() if isinstance(layer, LearnedShuffle)]
    assert [len(matrix) for matrix in matrices] == [4, 6, 6]
    assert not torch.equal(matrices[1], matrices[2])


def test_a_deployed_copy_has_the_statistics_of_the_training(build):
    network = build("shuffle=learned").train()
    network(torch.rand(8, 3, 32, 32))
    network.eval()
    ours, theirs = (
        [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
        for model in (network, hardened(network))
    )
    for one, other in zip(ours, theirs, strict=True):
        assert not other.training
        assert one is not other
        assert all(map(torch.equal, one.buffers(), other.buffers()))


@torch.no_grad()
def test_it_has_a_bound_and_certificates(build):
    network = build("shuffle=fixed").double()
    shape, images = (3, 32, 32), torch.rand(4, 3, 32, 32)
    bound = lipschitz_bound(network, shape)
    wider = copy.deepcopy(network)
    wider[-1].weight *= 2
    assert lipschitz_bound(wider, shape) == pytest.approx(2 * bound)
    labels = network(images.double()).argmax(1)
    certificate = certify(network, images, labels)
    assert certificate.lipschitz == pytest.approx(bound)
    assert (certificate.radii(torch.float64) >= 0).all()
    steps = 1e-3 * torch.nn.functional.normalize(torch.randn(4, 3072, dtype=torch.float64)).view(4, *shape)
    moved = network(images.double() + steps) - network(images.double())
    assert torch.linalg.vector_norm(moved, dim=1).max() <= 1e-3 * bound
