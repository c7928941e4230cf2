import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from lipnet.certify.plain import to_plain
from lipnet.certify.sensitivity import Inputs, Sensitivity
from lipnet.layers import BCOPConv2d, MaxMin, OrthogonalLinear
from lipnet.layers.blocks.composition import Residual
from lipnet.layers.convolutions.aoc import AOCConv2d
from lipnet.layers.convolutions.aol import AOLConv2d
from lipnet.layers.convolutions.bro import BROConv2d
from lipnet.layers.convolutions.cayley import CayleyConv2d
from lipnet.layers.convolutions.l2ne import L2NEConv2d
from lipnet.layers.convolutions.lot import LOTConv2d
from lipnet.layers.convolutions.ossn import OSSNConv2d
from lipnet.layers.convolutions.rko import RKOConv2d
from lipnet.layers.convolutions.soc import SOCConv2d
from lipnet.layers.dense.unit_rows import UnitRowLinear
from lipnet.layers.shape import Normalize

SHAPE = (2, 6, 6)


def _conv(kind, **keys):
    return nn.Sequential(
        Normalize([0.5, 0.4], [0.5, 0.8]), kind(2, 4, 4, 2, **keys), MaxMin(), kind(4, 4, 3, **keys), nn.ReLU(),
        nn.Flatten(), OrthogonalLinear(36, 8), MaxMin(), OrthogonalLinear(8, 3),
    )  # fmt: skip


def _of_sizes(kind):
    """The same of convolutions that are made for images of one size."""
    return nn.Sequential(
        Normalize([0.5, 0.4], [0.5, 0.8]), kind(2, 4, 4, 2, image_size=6), MaxMin(), kind(4, 4, 3, image_size=3),
        nn.ReLU(), nn.Flatten(), OrthogonalLinear(36, 8), MaxMin(), OrthogonalLinear(8, 3),
    )  # fmt: skip


NETWORKS = {
    "dense": lambda: nn.Sequential(nn.Flatten(), OrthogonalLinear(72, 10), MaxMin(), OrthogonalLinear(10, 3)),
    "dense without bias": lambda: nn.Sequential(nn.Flatten(), OrthogonalLinear(72, 3, bias=False)),
    "unit rows": lambda: nn.Sequential(nn.Flatten(), OrthogonalLinear(72, 8), MaxMin(), UnitRowLinear(8, 3)),
    "bcop": lambda: _conv(BCOPConv2d),
    "bcop, zeros": lambda: _conv(BCOPConv2d, padding_mode="zeros"),
    "bcop, groups": lambda: _conv(BCOPConv2d, groups=2),
    "rko": lambda: _conv(RKOConv2d),
    "aoc": lambda: _conv(AOCConv2d),
    "bro": lambda: _of_sizes(BROConv2d),
    "lot": lambda: _of_sizes(LOTConv2d),
    "cayley": lambda: _of_sizes(CayleyConv2d),
    "l2ne": lambda: _conv(L2NEConv2d),
    "aol": lambda: _conv(AOLConv2d, steps=2),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_no_example_has_a_longer_gradient(case):
    """Gradients by the weights that run, one example at a time, of the steepest outputs; after training steps too."""
    torch.manual_seed(0)
    network = NETWORKS[case]()
    center = torch.full(SHAPE, 0.5)
    bounded = Sensitivity(network, Inputs(center, 72**0.5 / 2), slope=1.0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    tightest = 0.0
    for _ in range(3):
        limits = bounded.bounds()
        corners = (torch.rand(64, *SHAPE) < 0.5).float()
        norms = _gradient_norms(network, torch.cat([corners, corners.round() * 0 + 1, center[None]]))
        assert norms.keys() == limits.keys()
        for name, found in norms.items():
            assert float(found.max()) <= limits[name], name
            tightest = max(tightest, float(found.max()) / limits[name])
        optimizer.zero_grad()
        functional.cross_entropy(network(corners), torch.arange(64) % 3).backward()
        optimizer.step()
    assert tightest > 0.2  # of some weight the bound is not far off


def _gradient_norms(network, images):
    """By the names of weights: the norms of each example's gradient of ``u · f(x)``, u at random of norm 1."""
    plain = to_plain(network, blocked=False)
    names = dict(zip(_plain_names(plain), _names(network), strict=True))
    parameters = {name: parameter.detach() for name, parameter in plain.named_parameters()}
    directions = functional.normalize(torch.randn(len(images), 3), dim=1)

    def loss(parameters, image, direction):
        return (functional_call(plain, parameters, (image[None],))[0] * direction).sum()

    each = vmap(grad(loss), (None, 0, 0))(parameters, images, directions)
    return {names[name]: value.flatten(1).norm(dim=1) for name, value in each.items()}


def _plain_names(plain):
    return [name for name, _ in plain.named_parameters()]


def _names(network):
    for name, layer in network.named_modules():
        if hasattr(layer, "free_parameters"):
            yield f"{name}.weight"
            if layer.bias is not None:
                yield f"{name}.bias"


def test_of_one_layer_it_is_the_product_of_norms():
    layer, center = OrthogonalLinear(4, 3), torch.full((4,), 0.5)
    limits = Sensitivity(nn.Sequential(layer), Inputs(center, 1.0), slope=2.0).bounds()
    assert limits == {"0.weight": pytest.approx(2 * 2.0, rel=3e-3), "0.bias": pytest.approx(2.0, rel=3e-3)}


def test_frozen_layers_have_none():
    network = nn.Sequential(OrthogonalLinear(4, 4).requires_grad_(False), MaxMin(), OrthogonalLinear(4, 3))
    assert set(Sensitivity(network, Inputs(torch.zeros(4), 1.0), 1.0).bounds()) == {"2.weight", "2.bias"}


class Louder(BCOPConv2d):
    def build_weight(self, *parameters):
        return 10 * super().build_weight(*parameters)


class AsLoudAsItSays(Louder):
    bounded_by_one = True


class Overridden(BCOPConv2d):
    def forward(self, inputs):
        return 10 * super().forward(inputs)


def hooked():
    layer = BCOPConv2d(2, 2, 3)
    layer.register_forward_hook(lambda module, inputs, outputs: 10 * outputs)
    return layer


def twice():
    layer = BCOPConv2d(2, 2, 3)
    return nn.Sequential(layer, MaxMin(), layer)


REFUSED = {
    "used twice": (twice, r"1.2 \(BCOPConv2d.* shares its parameters with 1.0"),
    "dropout": (lambda: nn.Dropout(0.9), "train"),
    "random slopes": (lambda: nn.RReLU(1.0, 19.0), "train"),
    "a weight of its own": (lambda: Louder(2, 2, 3), r"1 \(Louder.*while it trains"),
    "another forward": (lambda: Overridden(2, 2, 3), r"1 \(Overridden.*forward"),
    "a hook": (hooked, r"1 \(BCOPConv2d.*hook"),
    "an estimate": (lambda: OSSNConv2d(2, 4, 3, image_size=(6, 6)), r"1 \(OSSNConv2d.*while it trains"),
    "plain": (lambda: nn.Conv2d(2, 4, 3, padding=1), r"1 \(Conv2d.*while it trains"),
    "learned slopes": (lambda: nn.PReLU(2), r"1 \(PReLU.*while it trains"),
    "a series": (lambda: SOCConv2d(2, 2, 3), r"1 \(SOCConv2d.*while it trains"),
    "branches": (lambda: Residual(MaxMin()), r"1 \(Residual\): layers must follow each other in a row"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_bounded_by_construction_is_refused(case):
    make, message = REFUSED[case]
    with pytest.raises(TypeError, match=message):
        Sensitivity(nn.Sequential(nn.Identity(), make()).eval(), Inputs(torch.zeros(SHAPE), 1.0), 1.0)


def test_who_promises_it_is_believed():
    Sensitivity(nn.Sequential(AsLoudAsItSays(2, 2, 3)), Inputs(torch.zeros(SHAPE), 1.0), 1.0)
