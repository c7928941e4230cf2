"""Proofs, and the search for violations that tries to refute them."""

import math

import pytest
import torch
from torch import nn

from lipnet.layers import OrthogonalLinear, Scale
from lipnet.options.posteriors import Classification, Regression
from lipnet.tasks.bayes.attacking import violated_anywhere
from lipnet.tasks.bayes.constraints import constraints_of, register_constraint
from lipnet.tasks.bayes.density import Functions
from lipnet.tasks.bayes.proof import Checked, halved, lipschitz_of_ends, prove


@register_constraint("anywhere up to a wave", lipschitz=3.0)
def wave(inputs):
    return [(torch.full_like(inputs[:, 0], -math.inf), torch.sin(3 * inputs[:, 0]) + 2)]


@register_constraint("of unknown slope")
def unknown(inputs):
    return [(torch.full_like(inputs[:, 0], -math.inf), inputs[:, 0] + 9)]


def constraint(box, **kind):
    written = {"inputs": box, **kind}
    keys = ("x", [written], 50, False, 1e4, [15.0, 2.0])
    option = Classification(*keys, [10.0, 8.5]) if "classes" in kind else Regression(*keys, 0.1, 0.5)
    (found,) = constraints_of(option, torch.tensor([[-5.0, 5.0]] * len(box), dtype=torch.float64))
    return found


def line(slope, offset, dimensions=1):
    """``slope · x + offset`` in the first coordinate."""
    layer = nn.Linear(dimensions, 1)
    with torch.no_grad():
        layer.weight.zero_()[0, 0] = slope
        layer.bias.fill_(offset)
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


BOX = [[-1.0, 1.0]]
# A network, a constraint -> whether it keeps it; what is within a millionth of an end is kept, and takes many cells.
CASES = {
    "within": (line(0.5, 0.5), constraint(BOX, permitted=[[-0.1, 1.1]]), True),
    "just within": (line(0.5, 0.5), constraint(BOX, permitted=[[-1e-3, 1.001]]), True),
    "beyond an end": (line(0.5, 0.5), constraint(BOX, permitted=[[0.1, 1.1]]), False),
    "beyond an end at a corner alone": (line(0.5, 0.5), constraint(BOX, permitted=[[-0.1, 0.9999]]), False),
    "above a forbidden band": (line(1.0, 3.0), constraint(BOX, forbidden=[[0.0, 1.9]]), True),
    "through a forbidden band": (line(2.0, 0.0), constraint(BOX, forbidden=[[0.5, 0.501]]), False),
    "along a slanted tunnel": (line(1.0, 4.0), constraint(BOX, permitted=[[[3.9, 1.0], [4.1, 1.0]]]), True),
    "across a slanted tunnel": (line(-1.0, 4.0), constraint(BOX, permitted=[[[3.9, 1.0], [4.1, 1.0]]]), False),
    "near one of two curves": (line(0.0, 3.5), constraint(BOX, curves=[[4.0], [-4.0]]), True),
    "between two curves": (line(0.0, 0.0), constraint(BOX, curves=[[4.0], [-4.0]]), False),
    "below a wave": (line(1.0, -0.5), constraint(BOX, function="anywhere up to a wave"), True),
    "over a wave": (line(-2.0, 0.0), constraint(BOX, function="anywhere up to a wave"), False),
    "in the plane": (line(0.5, 0.5, 2), constraint([[-1, 1], [0, 3]], permitted=[[-0.1, 1.1]]), True),
    "beyond in the plane": (line(0.5, 0.5, 2), constraint([[-1, 1], [0, 3]], permitted=[[-0.1, 0.95]]), False),
    "in four dimensions": (line(0.1, 0.0, 4), constraint([[-1, 1]] * 4, permitted=[[-0.5, 0.5]]), True),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_kept_is_proved_and_nothing_else(name):
    network, kept, proved = CASES[name]
    outcome = prove(Checked(network, (len(kept.box),)), kept, 20_000)
    assert outcome.proved == proved
    if outcome.witness is not None:
        outputs = network.double()(outcome.witness[None])
        network.float()
        assert bool(kept.violated(outcome.witness[None], outputs))


def test_few_cells_prove_nothing():
    network, kept, _ = CASES["below a wave"]
    checked = Checked(network, (1,))
    outcome = prove(checked, kept, 2)
    assert (outcome.proved, outcome.witness) == (False, None)
    assert outcome.cells <= 2 < prove(checked, kept, 20_000).cells


def test_ends_of_an_unknown_slope_prove_nothing():
    outcome = prove(Checked(line(0.0, 0.0), (1,)), constraint(BOX, function="of unknown slope"), 1000)
    assert (outcome.proved, outcome.cells) == (False, 0)


def test_classes_are_proved_by_their_logits():
    layer = nn.Linear(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.2]]))
        layer.bias.copy_(torch.tensor([0.0, 0.0, -1.0]))
    checked = Checked(nn.Sequential(nn.Flatten(), layer).requires_grad_(False), (2,))
    assert prove(checked, constraint([[0.1, 1.0], [-1.0, 1.0]], classes=[1]), 20_000).proved
    assert not prove(checked, constraint([[-0.1, 1.0], [-1.0, 1.0]], classes=[1]), 20_000).proved
    assert prove(checked, constraint([[-0.1, 1.0], [-1.0, 1.0]], classes=[0, 1]), 20_000).proved


def test_the_slope_of_ends_is_the_steepest_in_the_box():
    assert lipschitz_of_ends(constraint([[-2.0, 1.0]], permitted=[[[0.0, 1.0, 1.0], 99.0]])) == pytest.approx(5)
    two = constraint([[-2.0, 1.0], [0.0, 3.0]], forbidden=[[None, [[0.0, 3.0], [0.0, 4.0]]]])
    assert lipschitz_of_ends(two) == pytest.approx(5)
    assert lipschitz_of_ends(constraint([[0.0, 1.0]], permitted=[[0.0, 1.0]])) == 0


def test_halves_cover_their_cell():
    low, high = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, 4.0], [3.0, 2.0]])
    first, second = halved(low, high)
    assert first.tolist() == [[0, 0], [1, 1], [0, 2], [2, 1]]
    assert second.tolist() == [[1, 2], [2, 2], [1, 4], [3, 2]]


def test_no_attack_finds_what_is_proved_not_to_be_there():
    """Random Lipschitz networks: whatever is proved withstands, and what is violated plainly is found."""
    member = nn.Sequential(nn.Flatten(), OrthogonalLinear(2, 4), nn.ReLU(), OrthogonalLinear(4, 1), Scale(3.0))
    functions = Functions(member.double().eval())
    vectors = torch.randn(30, functions.size, dtype=torch.float64).float().double()
    region = constraint([[-0.5, 0.5], [0.0, 1.0]], permitted=[[-2.0, 2.0]])
    proved = []
    for vector in vectors:
        member.load_state_dict(functions.named(vector))
        proved.append(prove(Checked(member, (2,)), region, 4000).proved)
    found = violated_anywhere(functions, vectors, region, 10, 2, torch.Generator().manual_seed(0))
    assert 0 < sum(proved) < len(proved)
    assert not bool((found & torch.tensor(proved)).any())
    grid = region.points(2000)
    assert bool((found >= region.violated(grid, functions(vectors, grid)).any(-1)).double().mean() > 0.95)


@pytest.mark.parametrize("content", [{"permitted": [[-3.0, 2.0 - 1e-9]]}, {"forbidden": [[2.0 - 1e-9, 5.0]]}], ids=str)
def test_an_ascent_finds_what_random_points_miss(content):
    functions = Functions(line(2.0, 0.0).double())
    narrow = constraint(BOX, **content)  # violated at one end alone
    vectors = torch.tensor([[2.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
    found = violated_anywhere(functions, vectors, narrow, 30, 6, torch.Generator().manual_seed(0))
    assert found.tolist() == [True, False]  # from some of the starts, for the other end is nearer to most
    assert not violated_anywhere(functions, vectors, narrow, 0, 1, torch.Generator().manual_seed(0)).any()
