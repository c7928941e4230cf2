import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.layers import BCOPConv2d, ChannelShuffle, MaxMin
from lipnet.layers.shuffle import fixed_shuffle, random_shuffle

MADE = {
    "fixed": lambda **keys: fixed_shuffle(12, 3, **keys),
    "random": lambda **keys: random_shuffle(12, 3, torch.Generator().manual_seed(1), **keys),
}


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 3), (2, 6, 4, 3)], ids=str)
def test_the_fixed_one_is_shufflenets(groups, shape):
    inputs = torch.randn(shape)
    expected = nn.ChannelShuffle(groups)(inputs.view(2, 6, -1, 1)).view(shape)
    assert torch.equal(fixed_shuffle(6, groups)(inputs), expected)


@pytest.mark.parametrize("kind", MADE)
def test_pairs_that_stay_together_are_the_activation_s(kind):
    inputs, shuffle = torch.randn(4, 12, 3), MADE[kind](keep_pairs=True)
    assert torch.equal(MaxMin()(shuffle(inputs)), shuffle(MaxMin()(inputs)))
    shuffle = MADE[kind]()
    assert not torch.equal(MaxMin()(shuffle(inputs)), shuffle(MaxMin()(inputs)))


@pytest.mark.parametrize("keep_pairs", [False, True])
def test_signs_keep_norms(keep_pairs):
    shuffle = random_shuffle(12, 3, torch.Generator().manual_seed(1), keep_pairs, signed=True)
    inputs = torch.randn(5, 12, 2, 2)
    outputs = shuffle(inputs)
    assert set(shuffle.signs.tolist()) == {-1.0, 1.0}
    assert torch.equal(outputs.abs(), inputs.abs()[:, shuffle.order])
    assert not keep_pairs or torch.equal(shuffle.signs[:6], shuffle.signs[6:])


def test_a_permutation_is_drawn_by_its_generator():
    one, same, other = (random_shuffle(64, 4, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.order, same.order)
    assert not torch.equal(one.order, other.order)


REFUSED = {
    "a channel twice": (([0, 0],), "an order that holds each of 0 to 1 once"),
    "a channel that is not there": (([1, 2],), "each of 0 to 1 once"),
    "no channel": (([],), "each of 0 to 0 once"),
    "a table": (([[0, 1], [2, 3]],), "each of 0 to 3 once"),
    "fractions": (([0.0, 1.0],), "each of 0 to 1 once"),
    "another size": (([1, 0], [1, 1, 1]), "signs that are 1 or -1, one for each of 2 channels"),
    "factors": (([1, 0], [1, 2]), "signs that are 1 or -1"),
    "no numbers": (([1, 0], [1, float("nan")]), "signs that are 1 or -1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_permutation_is_refused(case):
    arguments, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"ChannelShuffle needs .*{message}"):
        ChannelShuffle(*arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fixed_shuffle(6, 4), "6 channels cannot be split into 4 groups"),
        (lambda: fixed_shuffle(6, 2, keep_pairs=True), "3 channels cannot be split into 2 groups"),
        (lambda: random_shuffle(5, 1, keep_pairs=True), "5 channels cannot be split into pairs"),
        (lambda: ChannelShuffle([1, 0])(torch.zeros(2, 3)), r"takes 2 channels on axis 1, got .*\(2, 3\)"),
        (lambda: ChannelShuffle([1, 0])(torch.zeros(2)), r"takes 2 channels on axis 1, got .*\(2,\)"),
    ],
)
def test_channels_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_grouped_convolutions_and_shuffles_keep_norms(dtype):
    network = nn.Sequential(
        BCOPConv2d(8, 8, 3, groups=4, bias=False), fixed_shuffle(8, 4),
        BCOPConv2d(8, 8, 3, groups=2, bias=False), random_shuffle(8, 4, signed=True), BCOPConv2d(8, 8, 1, bias=False),
    ).to(dtype)  # fmt: skip
    inputs = torch.randn(6, 8, 5, 5, dtype=dtype)
    torch.testing.assert_close(network(inputs).flatten(1).norm(dim=1), inputs.flatten(1).norm(dim=1), rtol=1e-5, atol=0)
    assert lipschitz_bound(network, (8, 5, 5)) <= 1 + 1e-5


def test_two_groups_mix_through_a_shuffle():
    """Without one, an output of grouped convolutions depends on the inputs of its own group alone."""
    inputs = torch.randn(1, 8, 4, 4, requires_grad=True)
    first, second = BCOPConv2d(8, 8, 3, groups=2), BCOPConv2d(8, 8, 3, groups=2)
    reached = []
    for between in (nn.Identity(), fixed_shuffle(8, 2)):
        (gradient,) = torch.autograd.grad(second(between(first(inputs)))[0, 0].sum(), inputs)
        reached.append(int((gradient[0].flatten(1).norm(dim=1) > 0).sum()))
    assert reached == [4, 8]
