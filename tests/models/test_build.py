import dataclasses
import typing

import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import hardened
from lipnet.layers import (
    BatchCentering,
    BCOPConv2d,
    BROLinear,
    CayleyLinear,
    ChannelShuffle,
    Cones,
    ConstrainedConv2d,
    GroupSort,
    L2NEConv2d,
    LearnedShuffle,
    MaxMin,
    Mirrored,
    Normalize,
    OSSNConv2d,
    PaddedConv2d,
    RKOConv2d,
    SOCConv2d,
    SVCMConv2d,
    UnitRowLinear,
)
from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.models import build_model
from lipnet.options import GROUPS
from lipnet.options.facts import image_facts

# The paper's architectures (Li et al. 2019, appendix): (in, out, kernel size, stride) of a convolution, "flatten",
# (in, out) of a fully connected layer. MaxMin follows every layer with weights but the last.
ARCHITECTURES = {
    ("small", "mnist"): [(1, 16, 4, 2), (16, 32, 4, 2), "flatten", (32 * 7 * 7, 100), (100, 10)],
    ("small", "cifar10"): [(3, 16, 4, 2), (16, 32, 4, 2), "flatten", (32 * 8 * 8, 100), (100, 10)],
    ("small", "digits"): [(1, 16, 4, 2), (16, 32, 4, 2), "flatten", (32 * 2 * 2, 100), (100, 10)],
    ("large", "mnist"): [
        (1, 32, 3, 1), (32, 32, 4, 2), (32, 64, 3, 1), (64, 64, 4, 2), "flatten",
        (64 * 7 * 7, 512), (512, 512), (512, 10),
    ],
    ("large", "cifar10"): [
        (3, 32, 3, 1), (32, 32, 4, 2), (32, 64, 3, 1), (64, 64, 4, 2), "flatten",
        (64 * 8 * 8, 512), (512, 512), (512, 10),
    ],
    ("fc", "mnist"): ["flatten", (784, 1024), (1024, 1024), (1024, 1024), (1024, 10)],
    ("fc", "cifar10"): ["flatten", (3072, 1024), (1024, 1024), (1024, 1024), (1024, 10)],
    ("fc", "digits"): ["flatten", (64, 1024), (1024, 1024), (1024, 1024), (1024, 10)],
}  # fmt: skip


def kind(group, name):
    """The class of an option's layers: its code, or what that says that it returns."""
    made = GROUPS[group][name].load()
    return made if isinstance(made, type) else typing.get_type_hints(made)["return"]


@pytest.fixture
def build(make_config):
    """``build("model=fc", ...)``: the network for its data set's images."""

    def make(*overrides):
        config = make_config(*overrides)
        return build_model(config, *image_facts(config.dataset.name)).eval()

    return make


def described(layer):
    if isinstance(layer, ConstrainedConv2d | SOCConv2d):
        return layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride
    if isinstance(layer, PaddedConv2d):
        return layer.conv.in_channels, layer.conv.out_channels, layer.conv.kernel_size[0], layer.conv.stride[0]
    if isinstance(layer, (nn.Linear, ConstrainedLinear)):
        return layer.in_features, layer.out_features
    return "flatten" if isinstance(layer, nn.Flatten) else type(layer)


def expected_layers(architecture, activation):
    layers = []
    for layer in architecture:
        layers += [layer] if layer == "flatten" else [layer, activation]
    return layers[:-1]


def expected_parameters(layer):
    """The shapes of its learned tensors, without the bias; ``None`` of a layer that learns others than those here."""
    if isinstance(layer, BCOPConv2d):
        inner, outer = layer.in_channels * layer.stride**2, layer.out_channels
        widest, factors = max(inner, outer), layer.kernel_size // layer.stride - 1
        return {(1, outer, inner), (1, 2 * factors, widest, widest // 2)}
    if isinstance(layer, (RKOConv2d, L2NEConv2d)):
        return {(1, layer.out_channels, layer.in_channels * layer.kernel_size**2)}
    if isinstance(layer, (OSSNConv2d, SVCMConv2d)):
        return {(layer.out_channels, layer.in_channels, layer.kernel_size, layer.kernel_size)}
    if isinstance(layer, PaddedConv2d):
        return {(layer.conv.out_channels, layer.conv.in_channels, *layer.conv.kernel_size)}
    if isinstance(layer, BROLinear):
        return {(max(layer.out_features, layer.in_features), max(layer.out_features, layer.in_features) // 2)}
    if isinstance(layer, CayleyLinear):
        return {(layer.out_features, layer.in_features), ()}
    if isinstance(layer, (nn.Linear, ConstrainedLinear)):
        return {(layer.out_features, layer.in_features)}
    return None


@pytest.mark.parametrize(("model", "dataset"), list(ARCHITECTURES))
def test_default_network_is_the_papers(model, dataset, build):
    network = build(f"model={model}", f"dataset={dataset}")
    assert isinstance(network[0], Normalize)
    assert [described(layer) for layer in network[1:]] == expected_layers(ARCHITECTURES[model, dataset], MaxMin)
    shape, classes = image_facts(dataset)
    assert network(torch.rand(2, *shape)).shape == (2, classes)


def test_a_kernel_need_not_be_a_multiple_of_its_stride_where_the_layer_says_so(build):
    network = build("conv=aoc", "model.kernel_sizes=[3,3]", "dataset=mnist")
    assert [described(layer)[2:] for layer in network if isinstance(layer, ConstrainedConv2d)] == [(3, 2), (3, 2)]
    assert network(torch.rand(2, 1, 28, 28)).shape == (2, 10)


# Convolutions know nothing of what the linear layers are: each has its turn, and so has each of them.
CHOICES = [("bcop", linear) for linear in GROUPS["linear"]] + [(conv, "orthogonal") for conv in GROUPS["conv"]]


@pytest.mark.parametrize(("conv", "linear"), CHOICES)
@pytest.mark.parametrize("model", ["small", "large", "fc"])
def test_every_option_builds_the_same_shapes(model, conv, linear, build):
    network = build(f"model={model}", f"conv={conv}", f"linear={linear}", "dataset=mnist")
    assert [described(layer) for layer in network[1:]] == expected_layers(ARCHITECTURES[model, "mnist"], MaxMin)
    for layer in network:
        if list(layer.parameters()):
            assert type(layer) in (kind("conv", conv), kind("linear", linear))
            shapes, expected = {tuple(parameter.shape) for parameter in layer.parameters()}, expected_parameters(layer)
            bias = (described(layer)[1],)
            assert bias in shapes
            assert expected is None or shapes == expected | {bias}


@pytest.mark.parametrize("activation", list(GROUPS["activation"]))
@pytest.mark.parametrize("model", ["small", "fc"])
def test_activation_follows_every_layer_but_the_last(model, activation, build):
    network = build(f"model={model}", f"activation={activation}")
    architecture = ARCHITECTURES[model, "digits"]
    assert [described(layer) for layer in network[1:]] == expected_layers(architecture, kind("activation", activation))


def test_group_size_reaches_the_activation(build):
    network = build("activation=groupsort", "activation.group_size=4")
    assert {layer.group_size for layer in network if isinstance(layer, GroupSort)} == {4}


@pytest.mark.parametrize("padding_mode", ["circular", "zeros"])
@pytest.mark.parametrize(
    "conv",
    [
        name
        for name, option in GROUPS["conv"].items()
        if "padding_mode" in {field.name for field in dataclasses.fields(option.keys)}
    ],
)
def test_padding_mode_reaches_the_convolutions(conv, padding_mode, build):
    network = build(f"conv={conv}", f"conv.padding_mode={padding_mode}")
    convolutions = [layer for layer in network if isinstance(layer, kind("conv", conv))]
    assert [layer.padding_mode for layer in convolutions] == [padding_mode] * 2


def test_orthogonalizer_and_iterations_reach_the_layers(build):
    from lipnet.layers import bjorck, cholesky

    assert build("conv.orthogonalizer=bjorck")[1].orthogonalize is bjorck
    assert build()[1].orthogonalize is cholesky
    free = 3 * torch.eye(4) + torch.rand(4, 4)
    layer = build("model=fc", "linear=bjorck", "linear.iterations=3")[2]
    torch.testing.assert_close(layer.orthogonalize(free), bjorck(free, iterations=3))


@pytest.mark.parametrize(
    ("overrides", "architecture"),
    [
        (
            ["model.channels=[4,6,8]", "model.kernel_sizes=[3,4,1]", "model.strides=[1,2,1]", "model.hidden=[20,30]"],
            [(1, 4, 3, 1), (4, 6, 4, 2), (6, 8, 1, 1), "flatten", (8 * 4 * 4, 20), (20, 30), (30, 10)],
        ),
        (["model.hidden=[]"], [(1, 16, 4, 2), (16, 32, 4, 2), "flatten", (128, 10)]),
        (["model=fc", "model.hidden=[12]"], ["flatten", (64, 12), (12, 10)]),
        (["model=fc", "model.hidden=[]"], ["flatten", (64, 10)]),
    ],
)
def test_custom_widths(overrides, architecture, build):
    network = build(*overrides)
    assert [described(layer) for layer in network[1:]] == expected_layers(architecture, MaxMin)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("outputs", [1, 2, 7])
@pytest.mark.parametrize(("model", "shape"), [("small", (3, 12, 16)), ("fc", (2, 5, 3))])
def test_other_image_sizes_and_class_counts(model, shape, outputs, make_config):
    config = make_config(
        f"model={model}", "model.hidden=[100]", "dataset=cifar10" if shape[0] == 3 else "dataset=digits"
    )
    network = build_model(config, shape, outputs)
    if model == "small":
        assert described(network[6]) == (32 * 3 * 4, 100)
    assert network(torch.rand(2, *shape)).shape == (2, outputs)


def test_normalisation_comes_first(build):
    network = build("dataset.mean=[0.25]", "dataset.std=[0.5]")
    torch.testing.assert_close(network[0](torch.full((1, 1, 8, 8), 0.75)), torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("dataset", "overrides"),
    [
        ("digits", ["model=small"]),
        ("digits", ["model=small", "conv.padding_mode=zeros"]),
        ("digits", ["model=small", "conv.orthogonalizer=bjorck", "linear=bjorck"]),
        ("cifar10", ["model=small", "activation=groupsort"]),
        ("mnist", ["model=large"]),
        ("digits", ["model=fc"]),
        ("digits", ["model=fc", "model.hidden=[200,100]", "linear=bjorck"]),
    ],
)
def test_network_of_orthogonal_layers_has_bound_one(dataset, overrides, build):
    network = build(f"dataset={dataset}", *overrides)
    assert lipschitz_bound(network, image_facts(dataset)[0]) == pytest.approx(1, abs=1e-5)


def test_normalisation_counts_in_the_bound(build):
    assert lipschitz_bound(build("dataset.std=[0.25]"), (1, 8, 8)) == pytest.approx(4, rel=1e-5)


def test_unconstrained_network_has_a_measured_bound(build):
    network = build("conv=plain", "linear=plain")
    before = lipschitz_bound(network, (1, 8, 8))
    network[1].weight.data *= 3
    assert lipschitz_bound(network, (1, 8, 8)) == pytest.approx(3 * before, rel=1e-5)


# What comes before the critic's convolutions, (padding left and right), and its Lipschitz constant.
ENLARGED = [
    ((3, 64, 64), [], 1), ((3, 32, 32), [nn.Upsample], 2), ((1, 28, 28), [nn.ZeroPad2d, nn.Upsample], 2),
    ((1, 8, 8), [nn.Upsample], 8), ((3, 33, 40), [nn.ZeroPad2d], 1), ((3, 96, 96), [], 1),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "before", "constant"), ENLARGED)
def test_the_critic_is_the_papers_and_enlarges_small_images(shape, before, constant, make_config):
    config = make_config("task=wasserstein", "dataset=nearest_anchor", "model=critic", "model.channels=[4,4,4,8]")
    network = build_model(config, shape, 1).eval()
    assert [type(layer) for layer in network[: len(before)]] == before
    edge = 6 if shape[1] == 96 else 4
    architecture = [(shape[0], 4, 4, 2), (4, 4, 4, 2), (4, 4, 4, 2), (4, 8, 4, 2), "flatten", (8 * edge**2, 1)]
    assert [described(layer) for layer in network[len(before) :]] == expected_layers(architecture, MaxMin)
    assert lipschitz_bound(network, shape) == pytest.approx(constant, rel=1e-5)
    images = torch.rand(2, *shape)
    enlarged = network[: len(before)](images)
    change = torch.linalg.vector_norm(enlarged[0] - enlarged[1]) / torch.linalg.vector_norm(images[0] - images[1])
    assert float(change) == pytest.approx(constant, rel=1e-5)  # a multiple of an isometry: nothing is lost
    assert network(images).shape == (2, 1)


def test_the_default_critic_has_the_papers_widths(make_config):
    config = make_config("model=critic", "dataset=cifar10")
    assert (config.model.channels, config.model.image_size) == ([64, 128, 256, 512], 64)
    assert (config.model.kernel_sizes, config.model.strides, config.model.hidden) == ([4] * 4, [2] * 4, [])


def test_vectors_are_read_by_fc_without_normalisation(make_config):
    config = make_config("task=wasserstein", "dataset=cone", "activation=maxmin", "model.hidden=[8]")
    network = build_model(config, (128,), 1)
    assert [described(layer) for layer in network] == expected_layers(["flatten", (128, 8), (8, 1)], MaxMin)


@pytest.mark.parametrize(("apices", "upward"), [("first", False), ("second", True)])
def test_cones_take_vectors_and_images(apices, upward, make_config):
    config = make_config("task=wasserstein", "dataset=cone", "model=cones", "model.cones=5", f"model.apices={apices}")
    for shape in ((6,), (1, 2, 3)):
        (layer,) = build_model(config, shape, 1)
        assert (type(layer), layer.in_features, layer.cones, layer.upward) == (Cones, 6, 5, upward)
        assert layer(torch.rand(4, *shape)).shape == (4, 1)


@pytest.mark.parametrize("linear", list(GROUPS["linear"]))
@pytest.mark.parametrize("model", ["small", "fc"])
def test_a_normalized_head_is_the_last_layer_alone(model, linear, build):
    common = (f"model={model}", f"linear={linear}", "model.hidden=[8,6]")
    same, normalized = build(*common), build(*common, "model.head=normalized")
    assert type(same[-1]) is kind("linear", linear)
    assert type(normalized[-1]) is UnitRowLinear
    assert (normalized[-1].in_features, normalized[-1].out_features) == (6, 10)
    assert [type(layer) for layer in normalized[:-1]] == [type(layer) for layer in same[:-1]]


@pytest.mark.parametrize("model", ["small", "large", "fc"])
def test_means_are_subtracted_before_each_activation(model, build):
    plain, centred = build(f"model={model}"), build(f"model={model}", "model.centering=true")
    added = [place for place, layer in enumerate(centred) if isinstance(layer, BatchCentering)]
    assert all(isinstance(centred[place + 1], MaxMin) for place in added)
    assert len(added) == sum(isinstance(layer, MaxMin) for layer in plain)
    rest = [type(layer) for place, layer in enumerate(centred) if place not in added]
    assert rest == [type(layer) for layer in plain]


@pytest.mark.parametrize("model", ["small", "residual"])
def test_what_is_before_the_last_layer_sees_mirror_images_too(model, build):
    plain, mirrored = (build("dataset=cifar10", f"model={model}", *more) for more in ([], ["model.mirrored=true"]))
    assert [type(layer) for layer in mirrored] == [Normalize, Mirrored, type(plain[-1])]
    assert [type(layer) for layer in mirrored[1].inner] == [type(layer) for layer in plain[1:-1]]
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(mirrored.eval()(images.flip(-1)), mirrored(images))


THREE = ["model.channels=[4,8,8]", "model.kernel_sizes=[2,2,2]", "model.strides=[1,2,1]", "model.hidden=[]"]


GROUPED = [name for name, option in GROUPS["conv"].items() if "groups" in option.keys.__dataclass_fields__]


@pytest.mark.parametrize("conv", GROUPED)
def test_groups_reach_all_convolutions_but_the_first(conv, build):
    network = build(f"conv={conv}", "conv.groups=4", *THREE)
    convolutions = [layer for layer in network if isinstance(layer, kind("conv", conv))]
    assert [getattr(layer, "conv", layer).groups for layer in convolutions] == [1, 4, 4]


@pytest.mark.parametrize("shuffle", [name for name in GROUPS["shuffle"] if name != "none"])
def test_a_shuffle_stands_between_grouped_convolutions(shuffle, build):
    network = build("conv.groups=4", f"shuffle={shuffle}", *THREE)
    kinds = [type(layer) for layer in network[1:-2]]
    assert kinds == [BCOPConv2d, MaxMin, BCOPConv2d, MaxMin, kind("shuffle", shuffle), BCOPConv2d, MaxMin]
    assert lipschitz_bound(hardened(network), (1, 8, 8)) <= 1 + 1e-5


def test_a_shuffle_is_drawn_by_seed_and_place(build):
    draw = ["model=large", "conv.groups=4", "shuffle=random", "model.channels=[4,32,32,32]"]
    orders = [
        [layer.order.tolist() for layer in build(*draw, f"seed={seed}") if isinstance(layer, ChannelShuffle)]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1]
    assert len({str(order) for each in orders for order in each}) == 4


@pytest.mark.parametrize("shuffle", ["fixed", "random", "learned"])
def test_a_shuffle_leaves_the_first_weights_around_it_as_they_are(shuffle, build):
    def weights(network):
        return [tensor for layer in network for tensor in layer.parameters() if not isinstance(layer, LearnedShuffle)]

    made = []
    for name in ("none", shuffle):
        torch.manual_seed(3)
        made.append(weights(build("conv.groups=4", f"shuffle={name}", *THREE)))
    assert all(map(torch.equal, *made))
