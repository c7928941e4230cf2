import copy
import math

import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import hardened, to_plain
from lipnet.layers import BCOPConv2d, ChannelShuffle, LearnedShuffle, MaxMin, OrthogonalizationError
from lipnet.layers.learned_shuffle import learned_shuffle
from lipnet.layers.shuffle import fixed_shuffle
from lipnet.layers.training import regularized

KINDS = {
    "plain": {}, "pairs": {"keep_pairs": True}, "signed": {"signed": True},
    "signed pairs": {"keep_pairs": True, "signed": True}, "straight through": {"straight_through": True},
}  # fmt: skip
over_kinds = pytest.mark.parametrize("keys", KINDS.values(), ids=KINDS)


def trained(layer, steps=20, target=None, weight=1.0, until=1.0):
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.02, momentum=0.9)
    inputs = torch.randn(64, layer.channels, dtype=layer.matrix.dtype)
    for step in range(steps):
        optimizer.zero_grad()
        wanted = inputs if target is None else target(inputs)
        ((layer(inputs) - wanted).square().mean() + weight * layer.regularizer()).backward()
        optimizer.step()
        layer.end_step(until * (step + 1) / steps)
    return layer


def dense(layer):
    return layer(torch.eye(layer.channels, dtype=layer.matrix.dtype)).T.detach()


@over_kinds
def test_while_it_is_soft_the_bound_is_its_norm_s(keys):
    layer = trained(LearnedShuffle(8, **keys).double(), 5, until=0.5)
    norm, bound = float(torch.linalg.matrix_norm(dense(layer), 2)), lipschitz_bound(layer, (8,))
    assert norm <= bound <= 1.1
    with torch.no_grad():
        layer.matrix.mul_(3.0)
    if not layer.straight_through:
        assert lipschitz_bound(layer, (8,)) == pytest.approx(3 * bound, rel=1e-12)


@over_kinds
def test_deployed_it_is_an_isometry(keys):
    layer = trained(LearnedShuffle(8, **keys).double(), 5, until=0.5)
    for hard in (layer.hardened(), hardened(nn.Sequential(layer))[0], to_plain(nn.Sequential(layer))[0]):
        assert type(hard) is ChannelShuffle
        matrix = hard(torch.eye(8, dtype=torch.float64)).T
        torch.testing.assert_close(torch.linalg.svdvals(matrix), torch.ones(8, dtype=torch.float64))
        assert lipschitz_bound(hard, (8,)) == 1.0


@over_kinds
def test_the_end_of_a_training_fixes_it(keys):
    layer = trained(LearnedShuffle(8, harden=0.5, **keys), 10)
    assert layer.fixed
    matrix = dense(layer)
    assert torch.equal(matrix, dense_of(layer.hardened()))
    assert lipschitz_bound(layer, (8,)) == 1.0
    assert layer.diagnostics()["penalty"] == 0
    again = copy.deepcopy(layer)
    for share in (0.8, 1.0):
        trained(again, 3)
        again.end_step(share)
    assert torch.equal(dense(again), matrix)


def dense_of(shuffle):
    return shuffle(torch.eye(shuffle.channels)).T


def test_pairs_stay_together():
    layer, inputs = LearnedShuffle(8, keep_pairs=True), torch.randn(3, 8, 2)
    hard = layer.hardened()
    assert torch.equal(MaxMin()(hard(inputs)), hard(MaxMin()(inputs)))


@pytest.mark.parametrize("signed", [False, True])
def test_it_finds_a_permutation(signed):
    order = torch.tensor([2, 0, 3, 1])
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0]) if signed else torch.ones(4)
    layer = trained(LearnedShuffle(4, signed=signed), 300, lambda inputs: inputs[:, order] * signs, weight=0.02)
    hard = layer.hardened()
    assert hard.order.tolist() == order.tolist()
    assert not signed or hard.signs.tolist() == signs.tolist()


def test_straight_through_is_the_permutation_with_the_gradient_of_the_matrix():
    layer = LearnedShuffle(6, straight_through=True).double()
    inputs = torch.randn(4, 6, 3, dtype=torch.float64, requires_grad=True)
    outputs, slope = layer(inputs), torch.randn(4, 6, 3, dtype=torch.float64)
    assert torch.equal(outputs, layer.hardened()(inputs))
    to_inputs, to_matrix = torch.autograd.grad(outputs, (inputs, layer.matrix), slope)
    assert float(to_inputs.norm()) == pytest.approx(float(slope.norm()), rel=1e-12)
    torch.testing.assert_close(to_matrix, torch.einsum("boi,bci->oc", slope, inputs))


@pytest.mark.parametrize(("ramp", "share", "part"), [(0.5, 0.25, 0.5), (0.5, 0.5, 1), (0.5, 0.9, 1), (0, 0.1, 1)])
def test_the_penalty_s_weight_grows(ramp, share, part):
    layer = LearnedShuffle(4, weight=0.3, ramp=ramp)
    assert float(layer.regularizer().detach()) == (
        0 if ramp else pytest.approx(0.3 * layer.diagnostics()["penalty"], rel=1e-6)
    )
    layer.end_step(share)
    expected = 0.3 * part * layer.diagnostics()["penalty"]
    assert float(layer.regularizer().detach()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_a_penalty_without_weight_is_no_part_of_a_step(weight):
    layer = LearnedShuffle(4, weight=weight)
    assert regularized(layer) == [layer] * (weight > 0)


def test_all_that_a_training_goes_on_with_is_in_the_state():
    layer = LearnedShuffle(6, harden=0.5, signed=True)
    for share in (0.25, 0.75):
        layer.end_step(share)
        again = LearnedShuffle(6, harden=0.5, signed=True)
        again.load_state_dict(layer.state_dict())
        assert again.fixed == layer.fixed
        inputs = torch.randn(2, 6)
        assert torch.equal(again(inputs), layer(inputs))
        assert torch.equal(again.regularizer(), layer.regularizer())


def test_it_says_how_near_it_is():
    layer = LearnedShuffle(4)
    with torch.no_grad():
        layer.matrix.fill_(0.25)
    found = layer.diagnostics()
    assert found == pytest.approx({"penalty": 4.0, "least_row_maximum": 0.25, "certain_rows": 0.0, "norm": 1.0})
    layer.end_step(1.0)
    assert layer.diagnostics() == {"penalty": 0.0, "least_row_maximum": 1.0, "certain_rows": 1.0, "norm": 1.0}


def test_it_starts_from_its_generator():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    one, same = (LearnedShuffle(8, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one.matrix, same.matrix)
    assert torch.equal(torch.rand(3), expected)  # the layers after it start as without it


@pytest.mark.parametrize("keys", [{}, {"signed": True}, {"keep_pairs": True}, {"keep_pairs": True, "signed": True}])
def test_it_may_begin_near_the_fixed_one(keys):
    pairs = keys.get("keep_pairs", False)
    layer = learned_shuffle(8, groups=2, initial="fixed", **keys)
    assert torch.equal(layer.hardened().order, fixed_shuffle(8, 2, keep_pairs=pairs).order)
    matrix = layer.matrix.detach().abs()
    assert bool((matrix.sum(1) - 1).abs().max() < 1e-6)
    assert 0.5 < float(matrix.amax(1).min()) < 0.8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LearnedShuffle(0), "LearnedShuffle needs channels to be a whole number >= 1, got 0"),
        (lambda: LearnedShuffle(5, keep_pairs=True), "5 channels cannot be split into pairs"),
        (lambda: LearnedShuffle(4)(torch.zeros(2, 3)), r"takes 4 channels on axis 1, got .*\(2, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_not_finite_has_no_permutation():
    layer = LearnedShuffle(4)
    with torch.no_grad():
        layer.matrix[0, 0] = math.nan
    layer.end_step(0.1)
    assert math.isnan(float(layer.matrix.detach().sum()))
    assert lipschitz_bound(layer, (4,)) == math.inf
    with pytest.raises(OrthogonalizationError):
        layer.end_step(1.0)


def test_a_trained_network_is_deployed_orthogonal():
    torch.manual_seed(0)
    shuffle = LearnedShuffle(8)
    network = nn.Sequential(
        BCOPConv2d(8, 8, 2, groups=2, bias=False), shuffle, BCOPConv2d(8, 8, 2, groups=2, bias=False)
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(10):
        optimizer.zero_grad()
        inputs = torch.randn(4, 8, 3, 3)
        (network(inputs) - inputs.flip(1)).square().mean().backward()
        optimizer.step()
        shuffle.end_step((step + 1) / 10)
    hard = to_plain(network.double().eval())
    matrix = hard(torch.eye(72, dtype=torch.float64).view(72, 8, 3, 3)).flatten(1).detach()
    values = torch.linalg.svdvals(matrix)
    assert float((values - 1).abs().max()) <= 1e-5
    assert float(values.max()) <= lipschitz_bound(hard, (8, 3, 3)) <= 1 + 1e-5


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@over_kinds
def test_compiled_training_is_that_of_the_layer(keys):
    """While it is soft, and once its permutation stays."""
    torch.compiler.reset()
    layer, inputs = LearnedShuffle(8, **keys).double(), torch.randn(3, 8, 2, dtype=torch.float64)
    compiled = torch.compile(layer, backend="aot_eager")
    for share in (0.5, 1.0):
        results = []
        for module in (layer, compiled):
            points = inputs.clone().requires_grad_()
            loss = (module(points) ** 3).sum() + layer.regularizer()
            learns = (points, layer.matrix)
            results.append((loss.detach(), *torch.autograd.grad(loss, learns)))
        torch.testing.assert_close(*results)
        layer.end_step(share)
    assert layer.fixed
    torch.testing.assert_close(compiled(inputs), layer(inputs))
