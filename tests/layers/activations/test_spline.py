"""Learned linear splines: the functions, the projection onto slopes of at most 1, gradients, memory and refusals."""

import math

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, vmap

from lipnet.certify import lipschitz_bound
from lipnet.layers import FixedSpline, LinearSpline, ThresholdedSpline
from lipnet.layers.activations.spline import PlainSpline, spline
from lipnet.layers.training import regularized


def fitted(function, knots=513, reach=16.0):
    """The spline through a function's values, whose slopes are free."""
    layer = LinearSpline(1, knots, reach, "identity", constrained=False).double()
    with torch.no_grad():
        layer.values.copy_(function(torch.linspace(-reach, reach, knots, dtype=torch.float64)))
    return layer


def sloped(*slopes, reach=1.0, start=0.0):
    """One spline with these slopes."""
    layer = FixedSpline(1, len(slopes) + 1, reach).double()
    layer.slopes.copy_(torch.tensor([slopes]))
    layer.starts.fill_(start)
    return layer


def steep(channels=6, knots=9, reach=1.3, shared=False, scale=1.0):
    """Values whose slopes are far beyond ±1 in places, none of them near ±1 or 0."""
    torch.manual_seed(0)
    layer = LinearSpline(channels, knots, reach, "identity", shared=shared).double()
    step = 2 * reach / (knots - 1)
    slopes = torch.tensor([0.5, -2.0, 0.3, 1.7, -0.6, -3.0, 0.9, 0.1, -0.8, 1.4])
    with torch.no_grad():
        for row in layer.values:
            drawn = slopes[torch.randint(len(slopes), (knots - 1,))].double()
            row.copy_(scale * step * torch.cat((torch.randn(1).double(), drawn)).cumsum(0))
    return layer


def written_out(layer, inputs):
    """By a loop over the pieces, from the effective slopes and the first value."""
    slopes, starts = (part.detach() for part in layer.effective())
    rows = slopes if len(slopes) > 1 else slopes.expand(inputs.shape[1], -1)
    starts = starts.expand(len(rows)).view(1, -1, *[1] * (inputs.dim() - 2))
    knots = torch.linspace(-layer.range, layer.range, layer.knots, dtype=torch.float64)
    total = starts + torch.zeros_like(inputs)
    for piece in range(layer.knots - 1):
        low = -math.inf if piece == 0 else float(knots[piece])
        high = math.inf if piece == layer.knots - 2 else float(knots[piece + 1])
        slope = rows[:, piece].view(1, -1, *[1] * (inputs.dim() - 2))
        total = total + slope * (inputs.clamp(low, high) - knots[piece])
    return total


# initial function, closed form
INITIAL = {
    "identity": lambda x: x,
    "abs": torch.abs,
    "relu": torch.relu,
    "pairs": lambda x: torch.cat((x[:, :2].abs(), x[:, 2:]), 1),
}


@pytest.mark.parametrize("initial", INITIAL)
def test_initial_functions(initial):
    inputs = 3 * torch.randn(50, 5, 2)
    layer = LinearSpline(5, initial=initial)
    assert torch.allclose(layer(inputs), INITIAL[initial](inputs), atol=1e-6)
    with torch.no_grad():
        layer.values.zero_()
    layer.reset_parameters()
    assert torch.allclose(layer(inputs), INITIAL[initial](inputs), atol=1e-6)


@pytest.mark.parametrize("knots", [3, 4, 9, 12])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("shape", [(40, 6), (7, 6, 3), (3, 6, 4, 5)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_way_of_evaluation_is_the_same_function(knots, shared, shape, layout):
    layer, inputs = steep(knots=knots, shared=shared).eval(), torch.randn(shape, dtype=torch.float64)
    if len(shape) == 4:
        inputs = inputs.contiguous(memory_format=layout)
    expected = written_out(layer, inputs)
    fixed = layer.fixed()
    plain = PlainSpline(fixed.splines, knots, layer.range).double()
    plain.load_state_dict(fixed.state_dict())
    for module in (layer, fixed, plain):
        torch.testing.assert_close(module(inputs), expected, atol=1e-12, rtol=0)
    assert layer(inputs).is_contiguous(memory_format=layout if len(shape) == 4 else torch.contiguous_format)
    learning = inputs.clone(memory_format=torch.preserve_format).requires_grad_()
    assert torch.equal(layer(learning), layer(inputs))
    torch.testing.assert_close(vmap(layer)(inputs[None])[0], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("shared", [True, False])
def test_the_projection_is_idempotent_and_keeps_the_mean(shared):
    layer, inputs = steep(shared=shared), torch.randn(30, 6, dtype=torch.float64)
    before, raw = layer.eval()(inputs), layer.values.detach().clone()
    layer.project()
    once = layer.values.detach().clone()
    assert not torch.allclose(once, raw, atol=0.1)
    torch.testing.assert_close(once.mean(1), raw.mean(1))
    torch.testing.assert_close(layer(inputs), before)
    layer.project()
    assert torch.equal(layer.values, once)
    slopes, _ = layer.effective()
    expected = (raw.diff(dim=1) / (2 * layer.range / (layer.knots - 1))).clamp(-1, 1)
    torch.testing.assert_close(slopes, expected)


def test_what_is_1_lipschitz_stays_as_it_is():
    layer = LinearSpline(4, 11, 1.7, "pairs")
    with torch.no_grad():
        layer.values.add_(123.4)  # rounds the slopes
    before = layer.values.detach().clone()
    layer.project()
    assert torch.equal(layer.values, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_slopes_are_at_most_one_in_any_precision(dtype):
    for seed in range(20):
        torch.manual_seed(seed)
        layer = LinearSpline(5, 8, 0.7).to(dtype)
        with torch.no_grad():
            layer.values.add_(10.0 ** (seed % 4) * torch.randn_like(layer.values))
        assert float(layer.effective()[0].detach().double().abs().max()) <= 1
        assert float(layer.fixed().slopes.double().abs().max()) <= 1
        assert lipschitz_bound(layer.eval(), (5,)) <= 1


def test_a_clipped_slope_comes_back():
    """An update takes slopes beyond 1; the next ones, of another target, take them back."""
    layer, inputs = LinearSpline(1, 5, 1.0, "identity"), torch.linspace(-1, 1, 64)[:, None]
    with torch.no_grad():
        layer.values.mul_(50)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (layer(inputs) + 0.5 * inputs).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(layer(inputs), -0.5 * inputs, atol=1e-3, rtol=0)


def test_gradients_pass_at_the_boundary_and_not_beyond_it():
    layer = LinearSpline(1, 5, 1.0, "identity").eval()
    for factor, passes in ((1.0, True), (1.0 + 2.0**-12, True), (0.5, True), (2.0, False)):
        layer.reset_parameters()
        layer.values.data.mul_(factor)
        slopes, _ = layer.effective()
        (gradient,) = torch.autograd.grad(slopes[0, 1], layer.values)
        assert gradient.tolist() == [[0, -2, 2, 0, 0] if passes else [0] * 5]


def trained(layer, shape, steps=30):
    """After steps away from where it was, by which slopes are clipped."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    inputs = 2 * torch.randn(16, *shape, dtype=next(layer.parameters()).dtype)
    for _ in range(steps):
        optimizer.zero_grad()
        (layer(inputs) - 3 * inputs.sin()).square().mean().backward()
        optimizer.step()
    return layer


@pytest.mark.parametrize("shared", [True, False])
def test_dense_jacobians_after_training_steps(shared):
    layer = trained(LinearSpline(6, 9, 2.0, "abs", shared=shared), (6, 2)).double().eval()
    slopes, largest = layer.effective()[0].detach().abs(), 0.0
    assert float(slopes.max()) == 1  # some are clipped
    assert float(slopes.min()) < 0.9
    for point in 3 * torch.randn(20, 6, 2, dtype=torch.float64):
        matrix = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0].flatten(), point).flatten(1)
        assert torch.equal(matrix, matrix.diag().diag())
        largest = max(largest, float(torch.linalg.svdvals(matrix)[0]))
    assert 0.99 < largest <= 1 == lipschitz_bound(layer, (6, 2))


@pytest.mark.parametrize(
    ("knots", "shared", "constrained", "layout"),
    [
        (5, False, True, torch.channels_last),
        (6, False, True, torch.contiguous_format),
        (5, True, True, torch.contiguous_format),
        (4, False, False, torch.contiguous_format),
    ],
)
def test_gradients(knots, shared, constrained, layout):
    layer = steep(2, knots, shared=shared).eval()
    layer.constrained = constrained
    inputs = torch.randn(2, 2, 3, 2, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()

    def function(inputs, values):
        layer.values.data = values.data
        return functional_call(layer, {"values": values}, inputs)

    assert torch.autograd.gradcheck(function, (inputs, layer.values))
    assert torch.autograd.gradgradcheck(function, (inputs, layer.values))


def test_second_derivatives_of_what_is_fast_are_those_of_ordinary_operations():
    layer, inputs = steep(4).eval(), torch.randn(5, 4, 3, dtype=torch.float64)
    cotangent, found = torch.randn_like(inputs), []
    for module in (layer, vmap(layer)):
        points = inputs.clone().requires_grad_()
        outputs = module(points if module is layer else points[None])
        wanted = (points, layer.values)
        first = torch.autograd.grad((outputs**3 * cotangent).sum(), wanted, create_graph=True)
        found.append((*first, *torch.autograd.grad(sum(part.square().sum() for part in first), wanted)))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, when it is first used
def test_forward_mode_and_batched_gradients():
    layer, inputs = steep(4).eval(), torch.randn(5, 4, dtype=torch.float64)
    rows = torch.autograd.functional.jacobian(layer, inputs)
    torch.testing.assert_close(torch.autograd.functional.jacobian(layer, inputs, vectorize=True), rows)
    with forward_ad.dual_level():
        outputs = layer(forward_ad.make_dual(inputs, torch.ones_like(inputs)))
        tangent = forward_ad.unpack_dual(outputs).tangent
    torch.testing.assert_close(tangent, rows.sum((2, 3)))


@pytest.mark.parametrize("shared", [True, False])
def test_gradients_of_parameters_within_transforms(shared):
    """In training, where the values are projected by ordinary steps alone: of the batch, and of each example."""
    layer, inputs = steep(4, shared=shared), torch.randn(5, 4, dtype=torch.float64)
    layer.project()

    def loss(values, examples):
        return functional_call(layer, {"values": values}, examples).pow(3).sum()

    values = layer.values.detach()
    each = vmap(grad(loss), in_dims=(None, 0))(values, inputs[:, None])
    (expected,) = torch.autograd.grad(layer(inputs).pow(3).sum(), layer.values)
    torch.testing.assert_close(grad(loss)(values, inputs), expected)
    torch.testing.assert_close(each.sum(0), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_compiled_training_is_that_of_the_layer():
    """The values are projected in it too."""
    results = []
    for compiled in (False, True):
        torch.compiler.reset()
        layer = steep(4)
        module = torch.compile(layer, backend="aot_eager", fullgraph=True) if compiled else layer
        inputs = torch.linspace(-2, 2, 12, dtype=torch.float64).view(3, 4).requires_grad_()
        outputs = module(inputs)
        outputs.square().sum().backward()
        results.append((outputs, layer.values, layer.values.grad, inputs.grad))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_outputs_have_the_inputs_precision(dtype):
    """Whatever the layer's own is, as under autocast."""
    layer, inputs = steep(4).float(), torch.randn(3, 4)
    outputs = layer(inputs.to(dtype).requires_grad_())
    assert outputs.dtype is dtype
    torch.testing.assert_close(outputs.float(), layer(inputs), atol=16 * torch.finfo(dtype).eps + 1e-6, rtol=0)
    outputs.sum().backward()
    assert layer.values.grad is not None


@pytest.mark.parametrize("shape", [(0, 4), (3, 4, 0)])
def test_nothing_comes_of_nothing(shape):
    layer, inputs = LinearSpline(4), torch.zeros(shape, requires_grad=True)
    outputs = layer(inputs)
    outputs.sum().backward()
    assert outputs.shape == shape
    assert torch.equal(layer.values.grad, torch.zeros_like(layer.values))


def test_numbers_that_are_not_finite():
    inputs = torch.tensor([[math.nan], [math.inf], [-math.inf], [1e38]])
    for module in (LinearSpline(1, initial="abs").eval(), LinearSpline(1, initial="abs").fixed()):
        for learning in (True, False):
            outputs = module(inputs.clone().requires_grad_(learning))
            assert outputs[0].isnan()
            assert outputs[1:, 0].tolist() == [math.inf, math.inf, pytest.approx(1e38)]


def test_on_the_meta_device():
    layer = LinearSpline(4).to("meta")
    inputs = torch.empty(3, 4, device="meta", requires_grad=True)
    assert layer(inputs).shape == (3, 4)
    layer(inputs).sum().backward()
    assert layer.values.grad.is_meta
    assert layer.fixed().slopes.is_meta
    assert "linear regions" not in str(layer.fixed())


def test_a_frozen_layer_and_an_evaluated_one_keep_their_values():
    for change in (lambda layer: layer.requires_grad_(False), lambda layer: layer.eval()):
        layer = steep()
        change(layer)
        before = layer.values.detach().clone()
        layer(torch.randn(3, 6, dtype=torch.float64, requires_grad=True)).sum().backward()
        assert torch.equal(layer.values, before)


# function, its norm TV2 + |f(0)| + |f(1)| on the whole line; all of them have the Lipschitz constant 1
NORMS = {
    "identity": (lambda x: x, 1.0),
    "leaky relu": (lambda x: nn.functional.leaky_relu(x, 0.01), 1.99),
    "relu": (torch.relu, 2.0),
    "tanh": (torch.tanh, 2 + math.tanh(1)),
    "abs": (torch.abs, 3.0),
    "softplus": (nn.functional.softplus, 1 + math.log(2) + math.log(1 + math.e)),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms_and_constants_of_known_functions(name):
    function, expected = NORMS[name]
    layer = fitted(function)
    assert float(layer.fixed().bv2()) == pytest.approx(expected, abs=5e-3)
    assert lipschitz_bound(layer, (1,)) == pytest.approx(1, abs=2e-3)


def test_free_slopes_are_as_steep_as_they_are():
    layer = steep()
    assert lipschitz_bound(layer.eval(), (6,)) <= 1
    layer.constrained = False
    assert lipschitz_bound(layer, (6,)) == pytest.approx(3, rel=1e-12)
    assert lipschitz_bound(layer.fixed(), (6,)) == pytest.approx(3, rel=1e-12)


def test_the_penalties_of_slopes():
    layer = LinearSpline(3, 5, 1.0, "relu", tv2=0.5, steep=0.25)
    assert float(layer.regularizer().detach()) == pytest.approx(0.5 * 3 * 1 + 0.25 * 3 * 2)
    layer.regularizer().backward()
    assert layer.values.grad.abs().sum() > 0
    assert float(LinearSpline(3).regularizer()) == 0


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize(("splines", "shared"), [(3, False), (1, True)])
def test_the_penalty_of_the_norm(name, splines, shared):
    """The weight times the norm of each spline, as that of the splines as deployed; its gradient reaches the values."""
    function, expected = NORMS[name]
    fit = fitted(function)
    layer = LinearSpline(3, fit.knots, fit.range, "identity", shared, constrained=False, bv2=0.5)
    with torch.no_grad():
        layer.values.copy_(fit.values.expand_as(layer.values))
    penalty = layer.regularizer()
    assert float(penalty.detach()) == pytest.approx(0.5 * splines * expected, abs=1e-2)
    assert float(penalty.detach()) == pytest.approx(0.5 * float(layer.fixed().bv2().sum()), rel=1e-5)
    penalty.backward()
    assert layer.values.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("weights", "weighs"), [({}, False), ({"tv2": 1}, True), ({"bv2": 1}, True), ({"steep": 1}, True)]
)
def test_a_penalty_without_weight_is_no_part_of_a_step(weights, weighs):
    layer = LinearSpline(4, **weights)
    assert layer.is_regularized() is weighs
    assert regularized(layer) == [layer] * weighs


# slopes, threshold, slopes afterwards
MERGED = [
    ((0.0, 0.1, 0.2, 1.0), 0.15, (0.1, 0.1, 0.1, 1.0)),
    ((0.0, 0.1, 0.2, 1.0), 0.05, (0.0, 0.1, 0.2, 1.0)),
    ((1.0, 1.0, -1.0, -0.9), 0.11, (1.0, 1.0, -0.95, -0.95)),
    ((1.0, 0.0, -1.0, 0.5), 5.0, (0.125, 0.125, 0.125, 0.125)),
    ((0.3, 0.3, 0.7, 0.7), 0.0, (0.3, 0.3, 0.7, 0.7)),
]


@pytest.mark.parametrize(("slopes", "threshold", "expected"), MERGED)
def test_small_changes_of_slope_vanish(slopes, threshold, expected):
    layer = ThresholdedSpline(1, threshold, knots=5, range=1.0, initial="identity").double()
    with torch.no_grad():
        layer.values.copy_(0.5 * torch.tensor([[0.0, *slopes]]).cumsum(1))
    hard = layer.hardened()
    torch.testing.assert_close(hard.slopes, torch.tensor([expected], dtype=torch.float64))
    ends = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    torch.testing.assert_close(hard(ends), layer(ends))
    assert hard.linear_regions().item() == len(dict.fromkeys(expected))


def test_a_threshold_makes_a_layer_soft():
    assert type(spline(4, threshold=0.0)) is LinearSpline
    assert type(spline(4, threshold=0.1, knots=5)) is ThresholdedSpline


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"knots": 2}, "LinearSpline needs knots >= 3, got 2"),
        ({"knots": 0}, "LinearSpline needs knots to be a whole number >= 1, got 0"),
        ({"channels": 0}, "LinearSpline needs channels to be a whole number >= 1, got 0"),
        ({"range": 0.0}, "LinearSpline needs a finite range > 0, got 0.0"),
        ({"range": math.inf}, "LinearSpline needs a finite range > 0, got inf"),
        ({"initial": "sine"}, "LinearSpline needs initial to be one of identity, abs, relu, pairs, got 'sine'"),
        (
            {"shared": True},
            "LinearSpline has one spline if shared=True, and initial='pairs' needs one for each channel",
        ),
        ({"tv2": -1.0}, "LinearSpline needs weights tv2, bv2 and steep >= 0, got -1.0, 0.0 and 0.0"),
        ({"bv2": -1.0}, "LinearSpline needs weights tv2, bv2 and steep >= 0, got 0.0, -1.0 and 0.0"),
        ({"steep": math.nan}, "LinearSpline needs weights tv2, bv2 and steep >= 0, got 0.0, 0.0 and nan"),
        ({"rate": -0.5}, "LinearSpline needs a finite rate >= 0, got -0.5"),
        (
            {"steep": 1.0, "constrained": False},
            "LinearSpline needs steep=0 if constrained=False: the penalty has no minimum for free slopes",
        ),
        ({"threshold": -1.0}, "ThresholdedSpline needs threshold >= 0, got -1.0"),
    ],
)
def test_refuses_arguments(arguments, message):
    with pytest.raises(ValueError, match="needs") as error:
        spline(**{"channels": 4, **arguments})
    assert str(error.value) == message


@pytest.mark.parametrize("shape", [(4,), (2, 3), (5, 3, 6)])
@pytest.mark.parametrize("make", [LinearSpline, lambda channels: LinearSpline(channels).fixed()])
def test_refuses_shapes(shape, make):
    with pytest.raises(ValueError, match=r"axis 1 of \(.*\) does not hold the 6 channels of the splines"):
        make(6)(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (5, 3, 6)])
def test_one_spline_takes_any_shape(shape):
    inputs = torch.randn(shape)
    assert torch.equal(LinearSpline(6, initial="abs", shared=True)(inputs), inputs.abs())


def test_copies_and_states():
    layer = steep()
    other = LinearSpline(6, 9, 1.3).double()
    other.load_state_dict(layer.state_dict())
    inputs = torch.randn(3, 6, dtype=torch.float64)
    assert torch.equal(other.eval()(inputs), layer.eval()(inputs))
    assert [name for name, _ in layer.named_parameters()] == ["values"]
    assert sorted(layer.fixed().state_dict()) == ["slopes", "starts"]
