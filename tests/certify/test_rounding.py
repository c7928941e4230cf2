"""Bounds on rounding, for all inputs and in balls about examples, against passes and sums in the worst order."""

import copy
import math
from fractions import Fraction

import pytest
import torch
from torch import nn

from lipnet import to_plain
from lipnet.certify import lipschitz_bound, rounding_bound
from lipnet.certify.evaluation import Evaluation
from lipnet.certify.rounding import rounding_in_balls
from lipnet.layers import (
    Abs,
    BCOPConv2d,
    BlockedConv2d,
    BlockedLinear,
    Concat,
    Cones,
    FixedSpline,
    Gaussian,
    GroupSort,
    MaxMin,
    Mean,
    Mirrored,
    Normalize,
    OrthogonalLinear,
    PaddedConv2d,
    Residual,
    Scale,
)
from lipnet.layers.blocks.graph import Affine, Graph, Node, Rearranged, Sorted


def batch_norm(channels=3):
    module = nn.BatchNorm2d(channels)
    module.running_mean.normal_()
    module.running_var.uniform_(0.1, 2)
    nn.init.normal_(module.weight)
    nn.init.normal_(module.bias)
    return module


def splines(channels, knots, reach):
    module = FixedSpline(channels, knots, reach)
    module.slopes.uniform_(-1, 1)
    module.starts.normal_()
    return module


def graph():
    """A scaling, two branches of it that are added and joined, and the larger and smaller of pairs."""
    nodes = [
        Node("scaled", (0,), Affine(torch.tensor([[1.5], [-0.5]]), torch.tensor(0.25)), (2, 5)),
        Node("flat", (1,), Rearranged(torch.arange(1, 11), torch.empty(0, 2)), (10,)),
        Node("left", (2,), nn.Linear(10, 6), (6,)),
        Node("right", (2,), nn.Linear(10, 6), (6,)),
        Node("sum", (3, 4, 3), None, (6,)),
        Node("joined", (5, 2), None, (16,), 0),
        Node("pairs", (6,), Rearranged(torch.tensor([17, 18, 19, 20, 0, 5]), torch.tensor([[0, 1], [2, 3]])), (6,)),
        Node("sorted", (7,), Sorted(1, True), (6,)),
    ]
    return Graph(nodes, (2, 5))


NETWORKS = {
    "graph": (graph, (2, 5)),
    "linear": (lambda: nn.Linear(300, 40), (300,)),
    "linear in blocks": (lambda: BlockedLinear(1024, 40), (1024,)),
    "linear without bias": (lambda: nn.Linear(50, 7, bias=False), (50,)),
    "conv": (lambda: nn.Conv2d(3, 8, 3, 2, 1, 1), (3, 9, 8)),
    "grouped conv": (lambda: nn.Conv2d(4, 8, 3, padding=1, groups=2), (4, 8, 8)),
    "circular conv": (lambda: PaddedConv2d(3, 8, 4, stride=2), (3, 8, 8)),
    "normalize": (lambda: Normalize([0.4, 0.5, 0.1], [0.2, 0.3, 0.1]), (3, 8, 8)),
    "normalize, later": (lambda: nn.Sequential(Scale(1.7), Normalize([0.4, 0.5, 0.1], [0.2, 0.3, 0.1])), (3, 8, 8)),
    "batch norm": (batch_norm, (3, 8, 8)),
    "average": (lambda: nn.AvgPool2d(3, 2, 1), (3, 9, 8)),
    "global average": (lambda: nn.AdaptiveAvgPool2d(1), (3, 9, 8)),
    "activations": (lambda: nn.Sequential(nn.LeakyReLU(0.3), nn.ELU(1.5), nn.Tanh(), nn.GELU(), nn.SiLU()), (200,)),
    "splines": (lambda: nn.Sequential(splines(200, 18, 1.3), splines(200, 9, 2.0), splines(1, 5, 0.1)), (200,)),
    "splines of an image": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), splines(8, 17, 0.3)), (3, 9, 8)),
    "bilinear": (lambda: nn.Upsample(size=(37, 5), mode="bilinear"), (2, 9, 8)),
    "bilinear, corners": (lambda: nn.UpsamplingBilinear2d(scale_factor=3), (2, 9, 8)),
    "bicubic": (lambda: nn.Upsample(scale_factor=1.7, mode="bicubic"), (2, 9, 8)),
    "trilinear": (lambda: nn.Upsample(scale_factor=1.3, mode="trilinear"), (2, 5, 4, 6)),
    "cones": (lambda: Cones(30, 12), (30,)),
    "cones, upward": (lambda: Cones(200, 40, upward=True), (2, 10, 10)),
    "blocked linear": (lambda: BlockedLinear(700, 40), (700,)),
    "blocked conv": (lambda: BlockedConv2d(20, 8, 3, stride=1, block=6, padding_mode="zeros"), (20, 8, 8)),
    "residual of an image": (
        lambda: nn.Sequential(
            Residual(nn.Sequential(BlockedConv2d(8, 8, 3, block=3), batch_norm(8), nn.ReLU()), batch_norm(8)),
            nn.AvgPool2d(2),
            Residual(nn.Sequential(nn.Flatten(1), BlockedLinear(128, 128), nn.Unflatten(1, (8, 4, 4)))),
            nn.Upsample(scale_factor=1.5, mode="bilinear"),
        ),
        (8, 8, 8),
    ),
    "nested concatenation": (
        lambda: nn.Sequential(
            Concat(Concat(Normalize([0.4] * 3, [0.2] * 3), Scale(0.3)), Residual(PaddedConv2d(3, 3, 3), Scale(-1.0))),
            Abs(), nn.Flatten(), Concat(Cones(576, 5), nn.Linear(576, 4)),
        ),
        (3, 8, 8),
    ),
    "sigmoid": (lambda: nn.Sequential(nn.Sigmoid(), nn.Linear(50, 5)), (50,)),
    "exact modules": (
        lambda: nn.Sequential(
            Abs(), MaxMin(), GroupSort(4), nn.Upsample(scale_factor=3), nn.MaxPool2d(2), nn.Flatten()
        ),
        (4, 8, 8),
    ),
    "residual": (lambda: Residual(nn.Sequential(nn.Linear(30, 60), nn.ReLU(), nn.Linear(60, 30))), (30,)),
    "concatenation": (lambda: nn.Sequential(Concat(nn.Linear(30, 60), nn.Tanh()), nn.Linear(90, 4)), (30,)),
    "gaussian": (lambda: nn.Sequential(nn.Linear(30, 50), Gaussian(), nn.Linear(50, 5)), (30,)),
    "mean": (lambda: Mean(nn.Linear(30, 4), nn.Sequential(nn.Linear(30, 4), nn.Tanh()), nn.Linear(30, 4)), (30,)),
    "mirrored": (lambda: Mirrored(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten())), (2, 5, 4)),
    "bcop": (
        lambda: nn.Sequential(
            Normalize([0.1307], [0.3081]), BCOPConv2d(1, 16, 4, stride=2), MaxMin(), BCOPConv2d(16, 32, 4, stride=2),
            MaxMin(), nn.Flatten(), OrthogonalLinear(288, 100), MaxMin(), OrthogonalLinear(100, 10),
        ),
        (1, 12, 12),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_float32_passes_stay_within_the_bound(name, scale):
    make, shape = NETWORKS[name]
    network = to_plain(make().eval()).requires_grad_(False)
    found = rounding_bound(network, shape, torch.float32)
    inputs = scale * torch.rand(20, *shape)
    norms = found.norms(inputs)
    coarse, exact = network(inputs).double(), copy.deepcopy(network).double()(inputs.double())
    error, allowed = (coarse - exact).flatten(1).norm(dim=1), found.error.at(norms)
    assert bool((error <= allowed).all())
    assert bool((coarse.flatten(1).norm(dim=1) <= found.size.at(norms)).all())
    assert bool((coarse.flatten(1).abs().amax(1) <= found.peak.at(norms)).all())
    # Not vacuous: float64's errors are as much smaller as its ulp.
    fine = rounding_bound(copy.deepcopy(network).double(), shape, torch.float64).error.at(norms)
    assert bool((fine <= 2.0**-20 * allowed).all())
    if name != "exact modules":
        assert bool((error > 0).any())
        assert bool((allowed < 0.05 * found.size.at(norms)).all())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("observed", [torch.float32, torch.float64])
def test_float32_passes_stay_within_the_bound_in_balls_about_examples(name, observed):
    """Outputs at the examples, in random directions, and where the network is steepest; shrunk inputs and tiny ones."""
    make, shape = NETWORKS[name]
    network = to_plain(make().eval()).requires_grad_(False)
    double = copy.deepcopy(network).double()
    examples = torch.rand(12, *shape) * torch.tensor([1e-6, 0.1, 1.0, 30.0]).repeat(3).view(-1, *[1] * len(shape))
    outputs, norms = Evaluation(copy.deepcopy(network).to(observed)).run(examples.to(observed))
    found = rounding_in_balls(network, shape, norms, observed, torch.float32)
    seen = (outputs.double() - double(examples.double())).flatten(1).norm(dim=1)
    assert bool((seen <= found.seen * (1 + 1e-12)).all())
    steepest = examples.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(steepest).square().sum(), steepest)
    for direction in (torch.zeros_like(examples), gradient, torch.randn_like(examples), -examples):
        for radius in (1e-3, 1.0, 100.0):
            wide = direction.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, *[1] * len(shape))
            points = examples + radius * direction / wide
            distances = (points.double() - examples.double()).flatten(1).norm(dim=1) * (1 + 1e-12)
            coarse, exact = network(points).double(), double(points.double())
            error = (coarse - exact).flatten(1).norm(dim=1)
            assert bool((error <= found.error.at(distances)).all())
            assert bool((coarse.flatten(1).norm(dim=1) <= found.size.at(distances)).all())
            assert bool((coarse.flatten(1).abs().amax(1) <= found.peak.at(distances)).all())


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_measured_at_examples_allows_less(name):
    """Than a bound for all inputs of such norms; from float32 a little more than from float64."""
    make, shape = NETWORKS[name]
    network = to_plain(make().eval()).requires_grad_(False)
    double, examples = copy.deepcopy(network).double(), torch.rand(10, *shape)
    for_all = rounding_bound(double, shape, torch.float32)
    here = torch.zeros(len(examples), dtype=torch.float64)
    lines = [
        rounding_in_balls(network, shape, Evaluation(observer).run(images)[1], images.dtype, torch.float32).error
        for observer, images in ((double, examples.double()), (network, examples))
    ]
    assert bool((lines[0].at(here) <= for_all.error.at(for_all.norms(examples)) * (1 + 1e-9)).all())
    assert bool((lines[0].at(here) <= lines[1].at(here) * (1 + 1e-6)).all())
    assert bool((lines[0].at(here) <= lines[0].at(here + 1)).all())


def test_norms_are_measured_from_one_point_on_all_branches():
    """A normalisation with a large mean in one branch says nothing of norms in the other."""
    network = Concat(Normalize([1000.0], [1.0]), PaddedConv2d(1, 4, 3)).requires_grad_(False)
    examples = 1000 + torch.rand(50, 1, 8, 8)
    found = rounding_bound(network, (1, 8, 8), torch.float32)
    error = (network(examples).double() - copy.deepcopy(network).double()(examples.double())).flatten(1).norm(dim=1)
    assert bool((error <= found.error.at(found.norms(examples))).all())
    assert bool((network(examples).flatten(1).norm(dim=1) <= found.size.at(found.norms(examples))).all())


@pytest.mark.parametrize("name", ["linear", "linear without bias", "circular conv", "blocked linear", "blocked conv"])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_sums_of_absolute_products_are_those_of_float64(name, scale):
    make, shape = NETWORKS[name]
    layer = make().requires_grad_(False)
    absolute = copy.deepcopy(layer).double()
    absolute.weight.abs_()
    if absolute.bias is not None:
        absolute.bias.zero_()
    inputs = scale * torch.randn(5, *shape)
    expected = absolute(inputs.double().abs()).flatten(1).norm(dim=1)
    for network, points in ((layer, inputs), (copy.deepcopy(layer).double(), inputs.double())):
        found = Evaluation(network).run(points)[1][:, 1]
        assert bool(((expected <= found) & (found <= 1.01 * expected)).all())


@pytest.mark.parametrize("coarse", ["mkldnn convolutions", "matrix products"])
def test_sums_of_absolute_products_are_not_taken_coarsely(coarse, monkeypatch):
    """float32 products that may run in bf16 would be off by more than the sums are rounded up for."""
    layer, inputs = PaddedConv2d(3, 8, 3).double().requires_grad_(False), torch.rand(5, 3, 8, 8, dtype=torch.float64)
    if coarse == "matrix products":
        monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    before = torch.backends.mkldnn.conv.fp32_precision
    torch.backends.mkldnn.conv.fp32_precision = "bf16" if coarse == "mkldnn convolutions" else before
    try:
        found = Evaluation(layer).run(inputs)[1][:, 1]
    finally:
        torch.backends.mkldnn.conv.fp32_precision = before
    absolute = copy.deepcopy(layer)
    absolute.weight.abs_()
    absolute.bias.zero_()
    torch.testing.assert_close(found, absolute(inputs).flatten(1).norm(dim=1), rtol=1e-12, atol=0)


def test_blocks_divide_what_a_sum_may_lose():
    for blocked, plain, shape in (
        (BlockedLinear(4096, 16), nn.Linear(4096, 16), (4096,)),
        (BlockedConv2d(64, 16, 4, block=8), PaddedConv2d(64, 16, 4), (64, 8, 8)),
    ):
        plain.load_state_dict(blocked.state_dict())
        for dtype, least, most in ((torch.float32, 7, 40), (torch.float64, 1, 1)):
            slopes = [rounding_bound(part, shape, dtype).error.slope for part in (plain, blocked)]
            assert least <= slopes[0] / slopes[1] <= most


@pytest.mark.parametrize("terms", [2000, 2048, 2100])
def test_the_worst_order_of_blocks_stays_within_the_bound(terms):
    """In every block, and among them, one after the other with the largest first: the error of both stages adds up."""
    layer = BlockedLinear(terms, 1, bias=False, block=64).requires_grad_(False)
    layer.weight.fill_(1.0)
    inputs = torch.full((1, terms), 2.0**-24 * 0.999)
    inputs[0, ::64] = 1.0 - 2.0**-24  # the largest number below 1: its ulp is 2^-24
    inputs[0, 0] = 1.0
    partial = []
    for block in inputs[0].split(64):
        total = torch.zeros(())
        for value in block:
            total = total + value
        partial.append(total)
    total = torch.zeros(())
    for value in partial:
        total = total + value
    lost = abs(Fraction(float(total)) - sum(Fraction(float(value)) for value in inputs[0]))
    allowed = rounding_bound(layer, (terms,), torch.float32).error.at(inputs.double().norm()[None])
    assert 0 < lost <= Fraction(float(at_examples(layer, inputs))) <= Fraction(float(allowed))


def at_examples(layer, inputs):
    """What float32 may do to the layer at the inputs themselves."""
    exact = copy.deepcopy(layer).double()
    norms = Evaluation(exact).run(inputs.double())[1]
    found = rounding_in_balls(layer, inputs.shape[1:], norms, torch.float64, torch.float32)
    return found.error.at(torch.zeros(len(inputs), dtype=torch.float64))


HUGE_FIRST = torch.tensor([1.0] + [2.0**-24 * 0.999] * 31).repeat(2) * torch.tensor([1.0, -1.0]).repeat_interleave(32)


@pytest.mark.parametrize("blocks", [1, 5])
@pytest.mark.parametrize(
    ("order", "least"),
    [
        (lambda values: HUGE_FIRST.expand(values.shape), 0.3),  # its partial sums are half of its absolute sum
        (lambda values: values, 0.0),
        (lambda values: values.sort(dim=2).values, 0.0),
        (lambda values: values.sort(dim=2, descending=True).values, 0.0),
        (lambda values: values.abs().sort(dim=2, descending=True).values, 0.0),
        (lambda values: values * torch.tensor([1.0, -0.999]).repeat(32), 0.0),
    ],
)
def test_sums_of_both_signs_stay_within_the_bound(blocks, order, least):
    """Products cancel, so that less is lost than of their absolute values; here one after the other, as they stand."""
    values = order(torch.randn(300, blocks, 64)).contiguous()
    inputs, size = values.flatten(1), 64 * blocks
    layer = BlockedLinear(size, 1, bias=False, block=64) if blocks > 1 else nn.Linear(size, 1, bias=False)
    layer.requires_grad_(False).weight.fill_(1.0)
    partial = torch.zeros(len(values), blocks)
    for place in range(64):
        partial = partial + values[:, :, place]
    total = torch.zeros(len(values))
    for place in range(blocks):
        total = total + partial[:, place]
    lost, allowed = (total.double() - inputs.double().sum(1)).abs(), at_examples(layer, inputs)
    assert bool((lost <= allowed).all())
    assert bool((lost >= least * allowed).all())
    absolute = inputs.abs().double().sum(1) * (size if blocks == 1 else 64 + blocks) * 2.0**-24
    assert float((allowed / absolute).mean()) < (1.1 if float(values.min()) >= 0 else 0.75)


def test_the_worst_order_of_a_sum_stays_within_the_bound():
    """One huge product first: every small one after it is rounded away, in the direction that hurts."""
    terms = 2000
    linear = nn.Linear(terms, 1, bias=False).requires_grad_(False)
    linear.weight.fill_(1.0)
    inputs = torch.full((1, terms), 2.0**-24 * 0.999)
    inputs[0, 0] = 1.0
    total = torch.zeros(())
    for value in inputs[0]:
        total = total + value  # one after the other
    exact = sum(Fraction(float(value)) for value in inputs[0])
    allowed = rounding_bound(linear, (terms,), torch.float32).error.at(inputs.double().norm()[None])
    lost = abs(Fraction(float(total)) - exact)
    assert Fraction(1, 2**14) < lost <= Fraction(float(allowed))


def test_layers_add_up():
    """Two layers of constant 2: the first one's error is doubled by the second."""
    double = nn.Linear(10, 10, bias=False).requires_grad_(False)
    double.weight.copy_(2 * torch.eye(10))
    one, two = (rounding_bound(nn.Sequential(*[double] * count), (10,), torch.float32) for count in (1, 2))
    assert two.error.slope == pytest.approx(4 * one.error.slope, rel=1e-5)
    assert lipschitz_bound(double, (10,)) == pytest.approx(2)


def test_lower_precisions_are_refused():
    for dtype in (torch.bfloat16, torch.float16):
        with pytest.raises(TypeError, match="only float32 and float64 forward passes are certified"):
            rounding_bound(nn.Linear(3, 2), (3,), dtype)


def test_modules_that_round_in_an_unknown_way_are_refused():
    with pytest.raises(TypeError, match="how Mish rounds"):
        rounding_bound(nn.Sequential(nn.Mish(), nn.Flatten()), (1, 4, 4), torch.float32)


def test_places_near_a_pixel_stay_within_the_bound():
    """A map that moves nothing, and one whose places all but meet pixels: rounding may take other taps."""
    for module in (nn.Upsample(size=1000, mode="linear"), nn.Upsample(size=999, mode="linear", align_corners=True)):
        inputs = torch.zeros(2, 1, 1000)
        inputs[0, 0, ::2], inputs[1, 0, 500] = 1.0, 1.0
        found = rounding_bound(module, (1, 1000), torch.float32)
        error = (module(inputs).double() - module(inputs.double())).flatten(1).norm(dim=1)
        assert bool((error <= found.error.at(inputs.double().flatten(1).norm(dim=1))).all())


def test_cones_that_are_nearly_level_may_be_confused():
    """Two cones that differ by less than float32 sees, on either side of the input."""
    cones = Cones(3, 2).requires_grad_(False)
    with torch.no_grad():
        cones.apices.copy_(torch.tensor([[100.0, 0.0, 0.0], [-100.0, 0.0, 0.0]]))
        cones.heights.copy_(torch.tensor([0.0, 1e-6]))
    inputs = 1e-6 * torch.randn(500, 3)
    found = rounding_bound(cones.eval(), (3,), torch.float32)
    exact = (cones.heights.double() - torch.cdist(inputs.double(), cones.apices.double())).amax(1)
    error = (cones(inputs)[:, 0].double() - exact).abs()
    assert bool((error <= found.error.at(inputs.double().norm(dim=1))).all())
    assert float(error.max()) > 0


def test_cones_out_of_reach_overflow():
    cones = Cones(3, 2).requires_grad_(False)
    with torch.no_grad():
        cones.apices[0, 0] = 1e19
    found = rounding_bound(cones.eval(), (3,), torch.float32)
    assert float(found.error.at(torch.ones(1, dtype=torch.float64))) == math.inf


def test_weights_that_diverged_have_no_finite_error():
    linear = nn.Linear(3, 2).requires_grad_(False)
    linear.weight[0, 0] = math.nan
    assert not math.isfinite(rounding_bound(linear, (3,), torch.float32).error.slope)


@pytest.mark.parametrize("reach", [1.3, 1.0, 1e3, 1e-3])
@pytest.mark.parametrize("knots", [3, 10, 17, 150])
def test_splines_next_to_their_knots_stay_within_the_bound(knots, reach):
    """Where float32 may take the neighbouring piece: the knots and a few ulps about them, of the sharpest kinks."""
    module = FixedSpline(1, knots, reach)
    module.slopes.copy_(torch.tensor([1.0, -1.0]).repeat(knots)[: knots - 1])
    module.starts.fill_(0.1 * reach)
    points = torch.linspace(-reach, reach, knots, dtype=torch.float64).float()
    above, below, near = points, points, [points]
    for _ in range(8):
        above = torch.nextafter(above, torch.tensor(math.inf))
        below = torch.nextafter(below, torch.tensor(-math.inf))
        near += [above, below]
    inputs = torch.cat(near)[:, None]
    step, exact = 2 * Fraction(reach) / (knots - 1), []
    for value in inputs[:, 0].tolist():
        place = min(max((Fraction(value) + Fraction(reach)) // step, 0), knots - 2)
        rest = Fraction(value) + Fraction(reach) - place * step
        whole = Fraction(float(module.starts)) + step * (place % 2)
        exact.append(whole + (rest if place % 2 == 0 else -rest))
    found = rounding_bound(module, (1,), torch.float32)
    for dtype, allowed in ((torch.float32, found), (torch.float64, rounding_bound(module, (1,), torch.float64))):
        computed = module(inputs.to(dtype))[:, 0].tolist()
        errors = [abs(Fraction(value) - true) for value, true in zip(computed, exact, strict=True)]
        limits = allowed.error.at(inputs.double().flatten().abs()).tolist()
        assert all(error <= Fraction(limit) for error, limit in zip(errors, limits, strict=True))
    exact_places = knots % 2 and reach == 1.0
    assert float(found.error.offset) < (8 if exact_places else 14) * 2.0**-23 * (reach + abs(0.1 * reach))


def test_splines_that_are_not_finite_prove_nothing():
    for change in ("starts", "slopes"):
        module = FixedSpline(2, 5, 1.0)
        getattr(module, change).fill_(math.nan)
        assert lipschitz_bound(module, (2,)) == math.inf
    module = FixedSpline(2, 5, 1.0)
    module.knots = 4  # a scale of other pieces
    with pytest.raises(TypeError, match=r"it has slopes of \(2, 4\), not of \(2, 3\)"):
        lipschitz_bound(module, (2,))
    module = FixedSpline(2, 5, 1.0)
    module.range = math.inf
    assert lipschitz_bound(module, (2,)) == math.inf


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (nn.Sequential(nn.BatchNorm2d(2, eps=1e-60), nn.Flatten()), (2, 3, 3)),
        (nn.Sequential(nn.AvgPool2d(2, divisor_override=10**6), nn.Flatten()), (1, 4, 4)),
        (nn.Sequential(Scale(1e-50), nn.Flatten()), (1, 4, 4)),
    ],
    ids=["eps", "divisor", "factor"],
)
def test_numbers_that_float32_does_not_hold(network, shape):
    """A variance that becomes 0, a sum that overflows before it is divided, a factor that becomes 0."""
    network = network.eval()
    if isinstance(network[0], nn.BatchNorm2d):
        network[0].running_var.zero_()
        network[0].weight.data.fill_(2.0**-99)
    inputs = torch.full((1, *shape), 1e38)
    found = rounding_bound(network, shape, torch.float32)
    off = (network(inputs).double() - network.double()(inputs.double())).norm()
    held = found.peak.at(found.norms(inputs)) < torch.finfo(torch.float32).max
    assert not bool(held) or bool(off <= found.error.at(found.norms(inputs)))


def test_a_graph_is_of_one_shape_and_adds_such():
    alone = Graph([Node("layer", (0,), nn.Linear(4, 1), (1,)), Node("sum", (1, 0), None, (4,))], (4,))
    with pytest.raises(TypeError, match="its node sum adds values of 2 shapes"):
        lipschitz_bound(alone, (4,))
    with pytest.raises(TypeError, match=r"it is a graph for inputs of \(2, 5\), not of \(5, 2\)"):
        lipschitz_bound(graph(), (5, 2))
    with pytest.raises(ValueError, match=r"sum: values of one shape are added, got \(3, 1\) and \(3, 4\)"):
        alone(torch.rand(3, 4))
    with pytest.raises(ValueError, match=r"this graph takes inputs \(batch, \*\(2, 5\)\)"):
        graph()(torch.rand(3, 5, 2))


def test_work_in_place_reaches_no_other_node():
    nodes = [Node("steep", (0,), nn.LeakyReLU(3.0, inplace=True), (4,)), Node("same", (0,), nn.Identity(), (4,))]
    inputs = -torch.rand(2, 4)
    assert torch.equal(Graph(nodes, (4,))(inputs), inputs)
