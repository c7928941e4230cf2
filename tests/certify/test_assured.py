"""Assured networks: at the switch between float32 and float64 no prediction is another than float64's."""

import sys

import pytest
import torch
from launching import ROOT
from torch import nn

from lipnet import to_plain
from lipnet.certify import assured, certify
from lipnet.certify.assured import evaluated_again
from lipnet.layers import BCOPConv2d, Concat, MaxMin, Normalize, OrthogonalLinear, Residual

sys.path.insert(0, str(ROOT / "scripts" / "stress"))
import attack_assured
from attack_certificates import attack


def normalised():
    return nn.Sequential(
        Normalize([0.4], [0.3]), BCOPConv2d(1, 8, 4, stride=2), MaxMin(), nn.Flatten(), OrthogonalLinear(128, 10)
    )  # fmt: skip


def tiny():
    """Between its layers are numbers whose squares float32 does not hold."""
    first, second = nn.Linear(300, 20), nn.Linear(20, 4)
    first.weight.mul_(1e-19)
    first.bias.mul_(1e-19)
    second.weight.mul_(1e19)
    return nn.Sequential(first, second)


NETWORKS = {
    "dense, in blocks": (lambda: nn.Sequential(nn.Linear(784, 64), MaxMin(), nn.Linear(64, 10)), (784,)),
    "one layer": (lambda: nn.Linear(50, 3), (50,)),
    "convolutions": (normalised, (1, 8, 8)),
    "sequences of sequences": (
        lambda: nn.Sequential(nn.Sequential(nn.Linear(20, 30), nn.Sequential(MaxMin())), nn.Linear(30, 4)), (20,),
    ),
    "residual": (lambda: nn.Sequential(Residual(nn.Linear(30, 30)), MaxMin(), nn.Linear(30, 5)), (30,)),
    "concatenation": (lambda: nn.Sequential(Concat(nn.Linear(30, 20), nn.Tanh()), nn.Linear(50, 5)), (30,)),
    "a first layer in place": (lambda: nn.Sequential(nn.LeakyReLU(0.1, inplace=True), nn.Linear(40, 5)), (40,)),
    "one module twice": (lambda: nn.Sequential(*[nn.Linear(12, 12)] * 2), (12,)),
    "tiny numbers": (tiny, (300,)),
}  # fmt: skip


@pytest.fixture(params=NETWORKS)
def case(request):
    torch.manual_seed(0)
    with torch.no_grad():
        make, shape = NETWORKS[request.param]
        network = make().eval().requires_grad_(False)
        return network, torch.randn(60, *shape)


def test_predictions_at_the_switch_are_those_of_float64(case):
    network, images = case
    deployed, exact = assured(network, images.shape[1:]), to_plain(network).double()
    points = attack_assured.points_at_the_switch(deployed, exact, images, torch.Generator().manual_seed(0))
    classes, proved = attack_assured.proved(exact, points)
    points, classes = points[proved], classes[proved]
    assert len(points) > 300
    again = deployed.answer(points)[1]
    assert 0 < int(again.sum()) < len(points)
    assert attack_assured.wrong(lambda batch: deployed(batch).argmax(1), points, classes) == 0
    # The points are hard enough: without the second pass, or with constants that are too small, some are wrong.
    plain = to_plain(network)
    assert attack_assured.wrong(lambda batch: plain(batch).argmax(1), points, classes) > 0
    careless = attack_assured.with_small_constants(deployed, 1e-6)
    assert attack_assured.wrong(lambda batch: careless(batch).argmax(1), points, classes) > 0


def test_certificates_of_float64_hold_at_the_switch(case):
    network, images = case
    deployed, exact = assured(network, images.shape[1:]), to_plain(network).double()
    points = attack_assured.points_at_the_switch(deployed, exact, images[:20], torch.Generator().manual_seed(0))
    classes = exact(points.double()).argmax(1)
    radii = certify(exact, points, classes).radii(torch.float64)
    certified, tried, fell = attack(deployed, points, classes, radii, 1, 2)
    assert certified > 50
    assert tried > certified
    assert fell == 0


@pytest.mark.parametrize("narrow", [0, 1, 4])
def test_the_last_layers_of_the_first_pass_may_run_in_float64(narrow):
    network, images = normalised().eval().requires_grad_(False), torch.rand(200, 1, 8, 8)
    exact = to_plain(network).double()
    from lipnet.certify.assured import Assured, assured_constants, assured_layers

    plain = to_plain(network)
    fewer = Assured(assured_layers(plain), (1, 8, 8), **assured_constants(plain, (1, 8, 8), narrow))
    every = assured(network, (1, 8, 8))
    assert float(fewer.slopes.sum()) < float(every.slopes.sum())
    points = attack_assured.points_at_the_switch(fewer, exact, images, torch.Generator().manual_seed(0))
    classes, proved = attack_assured.proved(exact, points)
    assert attack_assured.wrong(lambda rows: fewer(rows).argmax(1), points[proved], classes[proved]) == 0
    assert evaluated_again(fewer, points) < evaluated_again(every, points)


def test_images_choose_how_many_layers_run_in_float64():
    network, images = normalised().eval().requires_grad_(False), torch.rand(300, 1, 8, 8)
    hard = attack_assured.bisect(lambda rows: network(rows).argmax(1) == 0, images, images.roll(1, 0))[0]
    assert int(assured(network, (1, 8, 8), images, at_most=1.0).narrow) == 5
    chosen = assured(network, (1, 8, 8), torch.cat([images, hard]), at_most=0.0)
    assert int(chosen.narrow) < 5


def test_what_float32_settles_is_not_evaluated_again(case):
    network, images = case
    deployed = assured(network, images.shape[1:])
    deployed.exact.forward = None  # cannot be called
    deployed.offset.zero_()
    deployed.slopes.zero_()
    logits, again = deployed.answer(images)
    assert not again.any()
    assert logits.dtype is torch.float64
    assert deployed(images[:0]).shape == (0, logits.shape[1])


def test_inputs_are_not_changed(case):
    network, images = case
    before = images.clone()
    assured(network, images.shape[1:]).answer(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e38, 3e19])
def test_what_may_overflow_is_evaluated_again(value):
    """The clipped 0 that an overflow leaves behind ReLU looks like any other number."""
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2)).requires_grad_(False)
    network[0].weight.copy_(torch.tensor([[-1e19, 0.0], [0.0, -1e19]]))
    network[2].weight.copy_(torch.eye(2))
    network[2].bias.copy_(torch.tensor([0.0, 1.0]))
    deployed = assured(network, (2,))
    assert deployed.answer(torch.tensor([[value, 1.0], [1e-19, 1e-19]]))[1].tolist() == [True, False]


def test_weights_that_are_no_numbers_settle_nothing():
    network = nn.Linear(3, 2).requires_grad_(False)
    network.weight[0, 0] = float("nan")
    assert assured(network, (3,)).answer(torch.rand(4, 3))[1].all()


def test_it_stays_in_evaluation_mode():
    deployed = assured(nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.9), nn.Linear(8, 2)).eval(), (4,)).train()
    assert not any(part.training for part in deployed.modules())


def wide():
    """Weights of which float32 holds no copy."""
    network = nn.Linear(4, 2).double().requires_grad_(False)
    network.weight.fill_(1 / 3)
    return network


REFUSED = {
    "float64 inputs": (lambda net: net(torch.rand(2, 4).double()), TypeError, "float32 inputs, not torch.float64"),
    "half inputs": (lambda net: net(torch.rand(2, 4).half()), TypeError, "float32 inputs, not torch.float16"),
    "another shape": (lambda net: net(torch.rand(2, 5)), ValueError, r"assured for inputs \(batch, \*\(4,\)\)"),
    "no batch": (lambda net: net(torch.rand(4)), ValueError, "assured for inputs"),
    "a converted network": (lambda net: net.float()(torch.rand(2, 4)), TypeError, "stays in the types"),
    "one output": (lambda net: assured(nn.Linear(4, 1), (4,)), ValueError, "two outputs"),
    "no rule": (lambda net: assured(nn.Sequential(nn.Softplus(), nn.Linear(4, 2)), (4,)), TypeError, "Softplus"),
    "float64 weights": (lambda net: assured(wide(), (4,)), TypeError, "not float32's"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    act, error, message = REFUSED[name]
    deployed = assured(nn.Linear(4, 2).requires_grad_(False), (4,))
    with pytest.raises(error, match=message):
        act(deployed)


def test_coarse_settings_are_refused_and_autocast_is_left():
    deployed, inputs = assured(nn.Linear(4, 2).requires_grad_(False), (4,)), torch.rand(3, 4)
    expected = deployed(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(deployed(inputs), expected)
    settings = torch.backends.mkldnn.conv
    settings.fp32_precision = "bf16"
    try:
        with pytest.raises(TypeError, match="TF32 or bf16"):
            deployed(inputs)
    finally:
        settings.fp32_precision = "none"
