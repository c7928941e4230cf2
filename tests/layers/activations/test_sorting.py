import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lipnet.layers import Abs, GroupSort, MaxMin


def column(*values: float) -> Tensor:
    """One example with these channels."""
    return torch.tensor([values])


# module, channels in, channels out: worked out by hand
BY_HAND = [
    ("maxmin_2", MaxMin(), (1, 5), (5, 1)),
    ("maxmin_4", MaxMin(), (1, -2, 3, -4), (3, -2, 1, -4)),
    ("maxmin_6", MaxMin(), (0, 7, -1, 4, 2, -3), (4, 7, -1, 0, 2, -3)),
    ("maxmin_sorted", MaxMin(), (4, 7, 0, 2), (4, 7, 0, 2)),
    ("maxmin_ties", MaxMin(), (2, 3, 2, 3), (2, 3, 2, 3)),
    ("maxmin_infinite", MaxMin(), (-math.inf, 1, 0, math.inf), (0, math.inf, -math.inf, 1)),
    ("groupsort_1", GroupSort(1), (1, 3, 2), (1, 3, 2)),
    ("groupsort_2", GroupSort(2), (1, -2, 3, -4), (3, -2, 1, -4)),
    ("groupsort_4_of_4", GroupSort(4), (1, -2, 3, -4), (3, 1, -2, -4)),
    ("groupsort_all_of_4", GroupSort(None), (1, -2, 3, -4), (3, 1, -2, -4)),
    ("groupsort_3_of_6", GroupSort(3), (1, 20, 3, 10, 2, 30), (3, 30, 2, 20, 1, 10)),
    ("groupsort_4_of_8", GroupSort(4), (1, 8, 4, 5, 2, 7, 3, 6), (4, 8, 3, 7, 2, 6, 1, 5)),
    ("groupsort_all_of_3", GroupSort(None), (2, 9, 5), (9, 5, 2)),
    ("abs", Abs(), (-3, 0, 2), (3, 0, 2)),
]


@pytest.mark.parametrize(("module", "channels", "expected"), [pytest.param(*row[1:], id=row[0]) for row in BY_HAND])
@pytest.mark.parametrize("learning", [True, False])
def test_by_hand(module, channels, expected, learning):
    inputs = column(*map(float, channels)).requires_grad_(learning)
    assert torch.equal(module(inputs), column(*map(float, expected)))
    images = inputs[:, :, None, None].expand(2, -1, 3, 4)
    assert torch.equal(module(images), column(*map(float, expected))[:, :, None, None].expand(2, -1, 3, 4))


def two_halves(inputs: Tensor) -> Tensor:
    half = inputs.shape[1] // 2
    first, second = inputs[:, :half], inputs[:, half:]
    return torch.cat((torch.maximum(first, second), torch.minimum(first, second)), 1)


@pytest.mark.parametrize("shape", [(5, 2), (5, 8), (3, 6, 4), (2, 10, 3, 5)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("other", [GroupSort(2), two_halves], ids=["groupsort", "two_halves"])
def test_maxmin_is_groupsort_of_pairs(shape, layout, other: Callable[[Tensor], Tensor]):
    """Values, gradients and second derivatives, with and without autograd."""
    values = torch.randn(shape, dtype=torch.float64)
    if layout is torch.channels_last and len(shape) == 4:
        values = values.contiguous(memory_format=layout)
    cotangent = torch.randn_like(values)
    results = []
    for module in (MaxMin(), other):
        inputs = values.clone().requires_grad_()
        outputs = module(inputs)
        first = torch.autograd.grad((outputs**3 * cotangent).sum(), inputs, create_graph=True)[0]
        second = torch.autograd.grad(first.square().sum(), inputs)[0]
        results.append((outputs, module(values), first, second))
    torch.testing.assert_close(results[0], results[1], atol=1e-12, rtol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_maxmin_of_bfloat16_moves_gradients_as_they_are(layout):
    inputs = torch.randn(4, 6, 5, 3).bfloat16().contiguous(memory_format=layout).requires_grad_()
    cotangent = torch.randn_like(inputs)
    cotangent[0, 0, 0, 0], cotangent[1, 4, 2, 1] = math.inf, -0.0
    moved = torch.autograd.grad(MaxMin()(inputs), inputs, cotangent)[0]
    (first, second), (upper, lower) = inputs.chunk(2, 1), cotangent.chunk(2, 1)
    kept = first >= second
    assert torch.equal(moved, torch.cat((torch.where(kept, upper, lower), torch.where(kept, lower, upper)), 1))


def test_maxmin_under_a_changing_input():
    """The pairing is that of the forward pass, even if the input is changed before the backward pass."""
    values = torch.tensor([[1.0, 2.0]], requires_grad=True)
    inputs = values * 1
    outputs = MaxMin()(inputs)
    inputs.data.copy_(torch.tensor([[2.0, 1.0]]))
    assert torch.equal(torch.autograd.grad(outputs[:, 0].sum(), values)[0], torch.tensor([[0.0, 1.0]]))


@pytest.mark.parametrize("module", [MaxMin(), GroupSort(2), GroupSort(4), GroupSort(None), Abs()], ids=repr)
def test_gradients(module):
    inputs = torch.randn(2, 8, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, inputs)
    assert torch.autograd.gradgradcheck(module, inputs)


@pytest.mark.parametrize("module", [MaxMin(), GroupSort(2), GroupSort(4), GroupSort(None), Abs()], ids=repr)
def test_one_lipschitz_between_points(module):
    first, second = torch.randn(2, 500, 8, dtype=torch.float64)
    before, after = (first - second).norm(dim=1), (module(first) - module(second)).norm(dim=1)
    assert (after <= before * (1 + 1e-12)).all()
    assert (after < before).any()


@pytest.mark.parametrize("learning", [True, False])
def test_maxmin_does_not_change_its_input(learning):
    inputs = torch.randn(3, 4)
    before = inputs.clone()
    MaxMin()(inputs.requires_grad_(learning))
    assert torch.equal(inputs, before)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (MaxMin(), (2, 3), r"cannot split axis 1 of \(2, 3\) into groups of 2"),
        (MaxMin(), (4,), r"cannot split axis 1 of \(4,\) into groups of 2"),
        (GroupSort(4), (2, 6, 3), r"cannot split axis 1 of \(2, 6, 3\) into groups of 4"),
        (GroupSort(2), (2, 1), r"cannot split axis 1 of \(2, 1\) into groups of 2"),
        (GroupSort(2), (4,), r"cannot split axis 1 of \(4,\) into groups of 2"),
    ],
)
def test_refuses_shapes(module: nn.Module, shape, message):
    with pytest.raises(ValueError, match=message):
        module(torch.zeros(shape))


@pytest.mark.parametrize("size", [0, -2])
def test_refuses_group_sizes(size):
    with pytest.raises(ValueError, match=f"GroupSort needs group_size to be a whole number >= 1, got {size}"):
        GroupSort(size)
