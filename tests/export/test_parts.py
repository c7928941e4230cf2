"""Networks as data and as torch code: the same function, and nothing else can be read back."""

import sys
import types
from collections import OrderedDict

import onnxruntime
import pytest
import torch
from torch import nn

from lipnet.certify.plain import to_plain
from lipnet.errors import UserError
from lipnet.export import describe, exported_state, rebuild
from lipnet.export.onnx_file import write_onnx
from lipnet.export.source import network_source
from lipnet.layers import (
    AOCConvTranspose2d,
    BatchCentering,
    BCOPConv2d,
    BlockedConv2d,
    BlockedLinear,
    Concat,
    MaxMin,
    Mirrored,
    Normalize,
    OrthogonalLinear,
    Residual,
    Sandwich,
    Translation,
)
from lipnet.layers.blocks.table import BLOCKS
from lipnet.models import build_model
from lipnet.models.generator import build_generator
from lipnet.options.models import Generator


def blocks():
    """Blocks in blocks, sequences in sequences, and a normalisation inside."""
    branch = nn.Sequential(BCOPConv2d(2, 4, 3), MaxMin(), BCOPConv2d(4, 2, 1))
    return nn.Sequential(
        nn.Sequential(Normalize([0.2, 0.3], [0.5, 0.6]), nn.Identity()),
        Residual(branch, Residual(nn.ReLU())),
        Concat(Normalize([0.1, 0.2], [1.0, 2.0]), nn.Sequential(Concat(MaxMin()), MaxMin())),
        Mirrored(nn.Sequential(MaxMin(), nn.Flatten())),
        OrthogonalLinear(256, 10),
    )


def residual_blocks():
    """Every block, with learned maps and means that are not 0."""
    made = nn.Sequential(
        *(make(8, (4, 4), kernel_size=2) for make in BLOCKS.values()),
        *(make(8, (4, 4), padding_mode="zeros") for make in BLOCKS.values()),
        BatchCentering(8),
        nn.Flatten(),
        Sandwich(128, 10),
    )
    for part in made.modules():
        if isinstance(part, Translation | BatchCentering):
            nn.init.normal_(part.offset if isinstance(part, Translation) else part.running_mean)
    return made


def generator():
    """A GAN's, whose batch normalisation has seen a batch."""
    made = build_generator(Generator(latent=5, hidden=[8], channels=[6, 4], lr=1.0), (3, 8, 8))
    made(torch.rand(16, 5))
    return made


def enlarging():
    """Transposed convolutions."""
    return nn.Sequential(
        AOCConvTranspose2d(6, 4, 3, stride=2), MaxMin(), AOCConvTranspose2d(4, 2, 4, stride=2, padding_mode="zeros"),
        nn.Flatten(), OrthogonalLinear(256, 10),
    )  # fmt: skip


_THREE = ("model.channels=[4,4,4]", "model.kernel_sizes=[2,2,2]", "model.strides=[1,1,1]", "model.hidden=[]")
OPTIONS = {  # overrides or what makes the network, input shape, outputs
    "blocks": (blocks, (2, 8, 8), 10),
    "residual blocks": (residual_blocks, (8, 4, 4), 10),
    "generator": (generator, (5,), None),
    "transposed": (enlarging, (6, 2, 4), 10),
    "small": (["model=small"], (1, 8, 8), 10),
    "normalised": (["model=small", "dataset.mean=[0.3]", "dataset.std=[0.2]", "activation=relu"], (1, 8, 8), 10),
    "colours": (["dataset=cifar10", "dataset.mean=[0.5,0.4,0.3]", "dataset.std=[0.2,0.3,0.7]", "model.hidden=[8]",
                 "conv.padding_mode=zeros", "activation=groupsort"], (3, 32, 32), 10),
    "fc": (["model=fc", "model.hidden=[32,32]", "activation=abs", "linear=bjorck"], (1, 8, 8), 10),
    "all channels sorted": (["model=fc", "model.hidden=[8]", "activation=groupsort", "activation.group_size=null"],
                            (1, 8, 8), 10),
    "critic": (["task=wasserstein", "dataset=two_images", "model=critic", "model.image_size=64", "model.channels=[4]",
                "model.kernel_sizes=[4]", "model.strides=[4]", "model.hidden=[]"], (1, 28, 28), 1),
    "vectors": (["task=wasserstein", "dataset=absolute_value", "activation=identity"], (1,), 1),
    "long sums": (["model=small", "model.channels=[20,16]", "model.strides=[1,2]", "conv.padding_mode=zeros"],
                  (1, 10, 10), 10),
    "shuffled": (["model=large", "conv.groups=2", "shuffle=fixed", *_THREE], (1, 4, 4), 10),
    "shuffled with signs": (["model=large", "conv.groups=2", "shuffle=random", "shuffle.signed=true", *_THREE],
                            (1, 4, 4), 10),
    "learned shuffle": (["model=large", "conv.groups=2", "shuffle=learned", *_THREE], (1, 4, 4), 10),
    "shufflenet": (["dataset=cifar10", "model=shufflenet", "shuffle=learned", "model.groups=2", "model.stem=4",
                    "model.channels=[16,24]", "model.units=[1,2]"], (3, 8, 8), 10),
    "residual": (["dataset=cifar10", "model=residual", "model.channels=[8,8]", "model.blocks=[1,1]", "model.block=mean",
                  "model.kernel_sizes=[3,1]", "model.stem=zeros", "model.patch=1", "model.hidden=[]"], (3, 8, 8), 10),
    "unconstrained": (["conv=plain", "linear=plain", "conv.padding_mode=circular"], (1, 8, 8), 10),
}  # fmt: skip


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS)
def network(request, make_config):
    overrides, shape, outputs = request.param
    model = overrides() if callable(overrides) else build_model(make_config(*overrides), shape, outputs)
    return to_plain(model).eval(), torch.rand(3, *shape)


@torch.no_grad()
def test_what_is_read_back_is_the_same_function(network):
    plain, images = network
    again = rebuild(describe(plain), exported_state(plain))
    assert torch.equal(again(images), plain(images))
    assert describe(again) == describe(plain)
    assert not again.training


@torch.no_grad()
def test_the_code_is_the_same_function(network, tmp_path, monkeypatch):
    plain, images = network
    source = network_source(describe(plain))
    assert not [line for line in source.splitlines() if "import" in line and "lipnet" in line]
    (tmp_path / "network.py").write_text(source)
    torch.save(exported_state(plain), tmp_path / "weights.pt")
    module = types.ModuleType("network")
    module.__file__ = str(tmp_path / "network.py")
    exec(compile(source, module.__file__, "exec"), module.__dict__)
    loaded = module.load()
    assert "lipnet" not in {part.__module__.partition(".")[0] for part in map(type, loaded.modules())}
    torch.testing.assert_close(loaded(images), plain(images), rtol=0, atol=1e-6)


@torch.no_grad()
def test_sums_in_blocks_stay_so_in_onnx(tmp_path):
    """A runtime that added the terms of both blocks together would lose the small ones."""
    linear = BlockedLinear(64, 1, bias=False, block=32)
    conv = BlockedConv2d(64, 1, 1, bias=False, block=32)
    for number, (layer, shape) in enumerate(((linear, (64,)), (conv, (64, 2, 2)))):
        layer.weight.fill_(1.0)
        write_onnx(tmp_path / f"{number}.onnx", nn.Sequential(layer).eval(), shape)
        points = torch.zeros(3, *shape)
        points[:, 32:] = 1.0
        points[:, 0] = 2.0**24
        session = onnxruntime.InferenceSession(str(tmp_path / f"{number}.onnx"), providers=["CPUExecutionProvider"])
        (found,) = session.run(["logits"], {"images": points.numpy()})
        assert (found == 2.0**24 + 32).all()
        assert torch.equal(torch.from_numpy(found), layer(points))


def test_weights_are_copies(network):
    plain, _ = network
    for tensor in exported_state(plain).values():
        assert not tensor.requires_grad
        tensor.zero_()
    assert all(bool(parameter.any()) for name, parameter in plain.named_parameters() if name.endswith("weight"))


def test_layers_that_cannot_be_exported_are_named():
    with pytest.raises(UserError, match=r"^layer 1 \(Conv3d\(1, 2.*cannot be exported; these can: Normalize, "):
        describe(nn.Sequential(nn.ReLU(), nn.Conv3d(1, 2, 3)))


LINEAR = {"name": "0", "type": "Linear", "in_features": 3, "out_features": 2, "bias": True}
CONVOLUTION = {
    "name": "0", "type": "PaddedConv2d", "in_channels": 3, "out_channels": 2, "kernel_size": 3, "stride": 1,
    "dilation": 1, "groups": 1, "bias": True, "padding_mode": "zeros",
}  # fmt: skip
STATE = {"0.weight": torch.ones(2, 3), "0.bias": torch.ones(2)}
NORMALIZE = {"name": "0", "type": "Normalize", "channels": 2}
SHUFFLE = {"name": "0", "type": "ChannelShuffle", "channels": 3, "signed": False}
REFUSED = {
    "a type of torch that is not in the table": (LINEAR | {"type": "Conv3d"}, STATE, "not described as one of"),
    "a path of Python": (LINEAR | {"type": "os.system"}, STATE, "not described as one of"),
    "no text for a type": (LINEAR | {"type": ["Linear"]}, STATE, "not described as one of"),
    "no layer": (7, STATE, "not described as one of"),
    "another name": (LINEAR | {"name": "1"}, STATE, "not described as one of"),
    "an argument too many": (LINEAR | {"device": "cuda"}, STATE, "Linear takes in_features, out_features, bias"),
    "an argument too few": ({key: LINEAR[key] for key in ("name", "type", "bias")}, STATE, "Linear takes"),
    "an argument of another type": (LINEAR | {"bias": 1}, STATE, "must be true or false"),
    "a size that no memory holds": (
        LINEAR | {"in_features": 10**12},
        STATE,
        "must be a whole number >= 1 and <= 1048576",
    ),
    "another size": (LINEAR | {"in_features": 2**20}, STATE, "the weights do not fit the layers"),
    "a missing tensor": (LINEAR, {"0.weight": STATE["0.weight"]}, r"Missing key\(s\).*0\.bias"),
    "a tensor too many": (LINEAR | {"bias": False}, STATE, r"Unexpected key\(s\).*0\.bias"),
    "a padding without proof": (CONVOLUTION | {"padding_mode": "reflect"}, {}, "must be one of circular, zeros"),
    "groups that do not divide": (CONVOLUTION | {"groups": 2}, {}, "in_channels must be divisible by groups"),
    "no mean": (NORMALIZE, {"0.std": torch.ones(2, 1, 1)}, r"0\.mean: the normalisation's mean is missing"),
    "no variance": ({"name": "0", "type": "BatchNorm1d", "num_features": 2}, {}, r"Missing key\(s\).*running_var"),
    "an image of nothing": ({"name": "0", "type": "Unflatten", "size": []}, {}, "must be a list of at least 1"),
    "no order": (SHUFFLE, {}, r"Missing key\(s\).*0\.order"),
    "an order of another size": (SHUFFLE, {"0.order": torch.arange(4)}, "the weights do not fit the layers"),
    "a channel twice": (
        SHUFFLE,
        {"0.order": torch.tensor([0, 1, 1])},
        "layer 0, ChannelShuffle: it needs an order that holds each of 0",
    ),
    "a channel that is not there": (
        SHUFFLE,
        {"0.order": torch.tensor([0, 1, 3])},
        "an order that holds each of 0 to 2",
    ),
    "an order that is no whole numbers": (SHUFFLE, {"0.order": torch.arange(3.0)}, "an order that holds each of 0"),
    "a sign that is none": (
        SHUFFLE | {"signed": True},
        {"0.order": torch.arange(3), "0.signs": torch.tensor([1.0, -1.0, 2.0])},
        "it needs signs that are 1 or -1",
    ),
    "channels that no memory holds": (SHUFFLE | {"channels": 2**40}, {}, "must be a whole number >= 1 and <= 1048576"),
    "std of another shape": (NORMALIZE, {"0.mean": torch.ones(2, 1, 1), "0.std": torch.ones(2)}, r"0\.std: "),
}


def _named(name, kind="Abs"):
    return {"name": name, "type": kind}


_RESIDUAL = _named("0", "Residual")
BLOCKS_REFUSED = {
    "a block of another kind": ([_named("0", "ModuleList")], "layer 0 is not described as one of"),
    "a block with an argument": ([_RESIDUAL | {"branch": "Abs"}], "layer 0: Residual takes nothing, not branch"),
    "no parts": ([_RESIDUAL], "layer 0.shortcut is not described"),
    "no branch": ([_RESIDUAL, _named("0.shortcut")], "layer 0.branch is not described"),
    "parts in another order": ([_RESIDUAL, _named("0.branch"), _named("0.shortcut")], "layer 0.shortcut is not"),
    "a part of an attribute": ([_RESIDUAL, _named("0.shortcut"), _named("0.forward")], "layer 0.branch is not"),
    "a part too many": (
        [_RESIDUAL, _named("0.shortcut"), _named("0.branch"), _named("0.more")], "layer 1 is not described"
    ),
    "no branches": ([_named("0", "Concat")], "layer 0: it has no branches"),
    "branches that begin later": ([_named("0", "Concat"), _named("0.branches.1")], "layer 0: it has no branches"),
    "a part of a layer": ([_named("0"), _named("0.0")], "layer 1 is not described"),
    "a sequence with a gap": ([_named("0", "Sequential"), _named("0.0"), _named("0.2")], "layer 1 is not described"),
    "the same name twice": ([_named("0", "Sequential"), _named("0.0"), _named("0.0")], "layer 1 is not described"),
    "a type of torch inside": ([_named("0", "Sequential"), _named("0.0", "LSTM")], "layer 0.0 is not described"),
    "more blocks in blocks than Python can follow": (
        [_named(".".join(["0"] * depth), "Sequential") for depth in range(1, 2000)], "lies in more than 32 others"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BLOCKS_REFUSED)
def test_no_other_blocks_are_built(case):
    layers, message = BLOCKS_REFUSED[case]
    with pytest.raises(UserError, match=message) as error:
        rebuild(layers, {})
    assert "\n" not in error.value.problems[0]


class Backwards(nn.Sequential):
    def forward(self, inputs):
        for layer in reversed(self):
            inputs = layer(inputs)
        return inputs


class OwnResidual(Residual):
    """A subclass, of which nothing says what else it holds."""


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Backwards(nn.ReLU()), r"the network \(Backwards\) cannot be exported: Backwards overrides `forward`"),
        (nn.Sequential(OwnResidual(nn.ReLU())), "layer 0 (?s:.*)cannot be exported; these can"),
        (nn.Sequential(Residual(nn.Sigmoid())), r"layer 0\.branch \(Sigmoid\(\)\) cannot be exported; these can"),
        (
            nn.Sequential(nn.BatchNorm1d(3, eps=1.0)),
            r"layer 0 .* cannot be exported: it has eps=1.0, and an export has",
        ),
        (nn.Sequential(nn.BatchNorm2d(3, affine=False)), r"layer 0 .* cannot be exported: it has affine=False"),
        (nn.Sequential(nn.ConvTranspose2d(1, 2, 4, groups=1, output_padding=1, stride=2)), "has output_padding="),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding="same")), "cannot be exported: padding=s: must be a whole number"),
        (nn.Sequential(nn.Conv2d(1, 2, (3, 1))), r"it has kernel_size=\(3, 1\), and an export has"),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding_mode="circular")), "it has padding_mode=circular, and an export has"),
        (nn.Sequential(nn.AvgPool2d((3, 3))), r"cannot be exported: kernel_size=\(3, 3\): must be a whole number"),
        (nn.Sequential(nn.AvgPool2d(2, ceil_mode=True)), "it has ceil_mode=True, and an export has False"),
        (nn.Sequential(nn.AdaptiveAvgPool2d((1, 2))), "cannot be exported: output_size="),
        (nn.Sequential(nn.Unflatten(2, (2, 2))), "it has dim=2, and an export has 1"),
        (
            nn.Sequential(OrderedDict(first=nn.ReLU())),
            "layer first cannot be exported: those of a sequence",
        ),
    ],
)
def test_blocks_that_cannot_be_exported_are_named(network, message):
    with pytest.raises(UserError, match=message):
        describe(network)


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_else_is_built(case):
    layer, state, message = REFUSED[case]
    with pytest.raises(UserError, match=message) as error:
        rebuild([layer], state)
    assert "\n" not in str(error.value)


def test_no_module_is_imported_for_a_name():
    before = set(sys.modules)
    with pytest.raises(UserError):
        rebuild([LINEAR | {"type": "antigravity"}], STATE)
    assert set(sys.modules) == before
