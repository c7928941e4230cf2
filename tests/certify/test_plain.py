import copy

import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound, pairwise_lipschitz_bounds
from lipnet.certify.plain import to_plain
from lipnet.layers import (
    Abs,
    BCOPConv2d,
    BlockedConv2d,
    BlockedLinear,
    GroupSort,
    MaxMin,
    Normalize,
    OrthogonalLinear,
    PaddedConv2d,
    PixelUnshuffle,
    RKOConv2d,
    Scale,
    SkewExponential,
    SpectralLinear,
    SVCMConv2d,
    UnitRowLinear,
)
from lipnet.models import build_model

SHAPE = (1, 8, 8)
WITHOUT_PARAMETERS = (Normalize, MaxMin, GroupSort, Abs, Scale, PixelUnshuffle)
OPTIONS = [
    ["conv=bcop", "linear=orthogonal"],
    ["conv=bcop", "linear=bjorck"],
    ["conv=bcop", "linear=plain"],
    ["conv=plain", "linear=orthogonal"],
    ["conv=plain", "linear=bjorck"],
    ["conv=plain", "linear=plain"],
    ["conv=bcop", "conv.padding_mode=zeros", "activation=groupsort", "dataset.mean=[0.5]", "dataset.std=[0.25]"],
    ["conv=bcop", "conv.orthogonalizer=bjorck", "activation=abs"],
    ["model=fc", "model.hidden=[32,32]", "activation=relu"],
    ["conv=bcop_fixed", "linear=spectral"],
    ["conv=rko", "conv.padding_mode=zeros"],
    ["conv=ossn"],
    ["conv=svcm"],
    ["conv=l2ne"],
    ["conv=aol", "linear=aol", "linear.steps=2"],
    ["conv=aoc"],
    ["conv=cayley", "linear=cayley"],
    ["conv=soc", "conv.padding_mode=zeros"],
    ["conv=bro", "linear=bro"],
    ["conv=lot"],
]


@pytest.fixture(params=OPTIONS, ids=" ".join)
def model(request, make_config):
    return build_model(make_config(*request.param), SHAPE, 10).eval()


def assert_plain(network):
    for module in network.modules():
        ours = (*WITHOUT_PARAMETERS, PaddedConv2d, SkewExponential)
        assert type(module).__module__.startswith("torch.nn") or isinstance(module, ours)


def images(count=5):
    return torch.rand(count, *SHAPE)


@torch.no_grad()
def test_plain_network_computes_the_same(model):
    plain, inputs = to_plain(model), images()
    torch.testing.assert_close(plain(inputs), model(inputs), rtol=0, atol=1e-5)
    assert_plain(plain)
    assert len(plain) == len(model)
    assert lipschitz_bound(plain, SHAPE) == pytest.approx(lipschitz_bound(model, SHAPE), rel=1e-6)


@torch.no_grad()
def test_original_is_untouched_and_shares_nothing(model):
    before, types, inputs = copy.deepcopy(model.state_dict()), [type(layer) for layer in model.modules()], images()
    outputs = model(inputs)
    plain = to_plain(model)
    for parameter in plain.parameters():
        parameter.add_(1.0)
    assert [type(layer) for layer in model.modules()] == types
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(inputs), outputs)
    assert not torch.allclose(plain(inputs), outputs)


@torch.no_grad()
def test_training_on_leaves_the_plain_network_as_it_was(model):
    plain, inputs = to_plain(model), images()
    outputs = plain(inputs)
    for parameter in model.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    assert torch.equal(plain(inputs), outputs)


@torch.no_grad()
def test_copies_of_the_plain_network_are_untied(model):
    plain, inputs = to_plain(model), images()
    outputs, other = plain(inputs), copy.deepcopy(plain)
    for parameter in other.parameters():
        parameter.add_(1.0)
    assert torch.equal(plain(inputs), outputs)
    assert not torch.allclose(other(inputs), outputs)


@torch.no_grad()
def test_state_dict_round_trip(model, tmp_path):
    plain, inputs = to_plain(model), images()
    torch.save(plain.state_dict(), tmp_path / "plain.pt")
    fresh = copy.deepcopy(model)
    for layer in fresh.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    fresh = to_plain(fresh)
    assert not torch.allclose(fresh(inputs), plain(inputs))
    fresh.load_state_dict(torch.load(tmp_path / "plain.pt", weights_only=True))
    assert torch.equal(fresh(inputs), plain(inputs))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: BCOPConv2d(2, 4, 3, bias=False), id="no bias"),
        pytest.param(lambda: BCOPConv2d(2, 4, 2, padding_mode="zeros"), id="zeros"),
        pytest.param(lambda: BCOPConv2d(2, 4, 4, stride=2), id="stride"),
        pytest.param(lambda: BCOPConv2d(2, 4, 3, dilation=2), id="dilation"),
        pytest.param(lambda: BCOPConv2d(2, 4, 3, groups=2), id="groups"),
        pytest.param(lambda: BCOPConv2d(2, 4, 3).double(), id="float64"),
        pytest.param(
            lambda: nn.Sequential(nn.Sequential(BCOPConv2d(2, 4, 3), MaxMin()), PaddedConv2d(4, 2, 3)), id="nested"
        ),
        pytest.param(lambda: nn.Sequential(nn.Flatten(), OrthogonalLinear(72, 5, bias=False)), id="linear, no bias"),
        pytest.param(lambda: nn.Sequential(nn.Flatten(), OrthogonalLinear(72, 90).double()), id="linear, float64"),
    ],
)
@torch.no_grad()
def test_every_kind_of_layer_converts(make):
    layer = make()
    plain, inputs = to_plain(layer), torch.rand(3, 2, 6, 6, dtype=next(layer.parameters()).dtype)
    torch.testing.assert_close(plain(inputs), layer(inputs), rtol=0, atol=1e-5)
    assert_plain(plain)
    assert {parameter.dtype for parameter in plain.parameters()} == {inputs.dtype}


LONG = {  # layer, its input shape, what it becomes
    "linear, short": (lambda: OrthogonalLinear(256, 5), (256,), nn.Linear),
    "linear, long": (lambda: OrthogonalLinear(257, 5), (257,), BlockedLinear),
    "spectral, long": (lambda: SpectralLinear(300, 5, bias=False), (300,), BlockedLinear),
    "unit rows, long": (lambda: UnitRowLinear(300, 5).double(), (300,), BlockedLinear),
    "conv, short": (lambda: BCOPConv2d(16, 16, 4, stride=2), (16, 8, 8), PaddedConv2d),
    "conv, long": (lambda: BCOPConv2d(20, 20, 4, stride=2), (20, 8, 8), BlockedConv2d),
    "conv, long, zeros": (lambda: BCOPConv2d(34, 8, 3, padding_mode="zeros", bias=False), (34, 6, 6), BlockedConv2d),
    "conv, dilated": (lambda: BCOPConv2d(34, 8, 3, dilation=2), (34, 6, 6), BlockedConv2d),
    "conv, groups": (lambda: BCOPConv2d(68, 8, 3, groups=2), (68, 6, 6), PaddedConv2d),
    "plain, long": (lambda: nn.Linear(300, 5), (300,), nn.Linear),
}


@pytest.mark.parametrize("name", LONG)
@torch.no_grad()
def test_long_sums_are_taken_in_blocks(name):
    make, shape, kind = LONG[name]
    layer = make().eval()
    network, inputs = nn.Sequential(layer), torch.rand(3, *shape, dtype=next(layer.parameters()).dtype)
    blocked, whole = to_plain(network), to_plain(network, blocked=False)
    assert type(blocked[0]) is kind
    assert not isinstance(whole[0], BlockedLinear | BlockedConv2d)
    assert type(to_plain(blocked)[0]) is kind
    assert whole.state_dict().keys() == blocked.state_dict().keys()
    assert lipschitz_bound(blocked, shape) == lipschitz_bound(whole, shape)
    ends = [nn.Sequential(plain[0], nn.Flatten()) if len(shape) > 1 else plain for plain in (blocked, whole)]
    assert torch.equal(*(pairwise_lipschitz_bounds(end, shape) for end in ends))
    torch.testing.assert_close(blocked(inputs), network(inputs), rtol=0, atol=1e-5)
    torch.testing.assert_close(whole(inputs), network(inputs), rtol=0, atol=1e-5)
    assert torch.equal(blocked.double()(inputs.double()), whole.double()(inputs.double()))


@torch.no_grad()
def test_layer_that_is_used_twice_converts_everywhere():
    twice = OrthogonalLinear(6, 6)
    model, inputs = nn.Sequential(twice, MaxMin(), twice), torch.rand(3, 6)
    plain = to_plain(model)
    torch.testing.assert_close(plain(inputs), model(inputs), rtol=0, atol=1e-5)
    assert_plain(plain)


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_kept(training):
    model = nn.Sequential(BCOPConv2d(1, 2, 3), nn.Sequential(MaxMin())).train(training)
    assert {module.training for module in to_plain(model).modules()} == {training}


@torch.no_grad()
def test_plain_network_exports(make_config):
    plain = to_plain(build_model(make_config(), SHAPE, 10)).eval()
    exported = torch.export.export(plain, (images(4),)).module()
    inputs = images(4)
    torch.testing.assert_close(exported(inputs), plain(inputs), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "attribute", "value"),
    [
        (RKOConv2d(2, 4, 3), "stride", 0),
        (BCOPConv2d(2, 4, 4, stride=2), "stride", 0),
        (BCOPConv2d(2, 4, 3), "groups", 0),
        (SVCMConv2d(2, 4, 3, image_size=(4, 4)), "image_size", ()),
        (SVCMConv2d(2, 4, 3, image_size=(4, 4)), "image_size", (0, 0)),
        (SpectralLinear(4, 3), "raw_weight", None),
        (OrthogonalLinear(4, 3), "orthogonalize", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value),
)
def test_a_layer_that_was_set_to_nonsense_is_refused_in_words(layer, attribute, value):
    setattr(layer, attribute, value)
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        to_plain(layer.eval())
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        lipschitz_bound(layer.eval(), (2, 4, 4) if hasattr(layer, "stride") else (4,))
