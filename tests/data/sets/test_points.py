"""Labelled points of the square: areas, the grid that they are tested on, and what the seed draws."""

import math

import pytest
import torch

from lipnet.data.images import load_files
from lipnet.data.sets.points import AREAS, SIDE, grid, on_square

# Name -> points of the square on both sides of the boundary: x, y, label.
SIDES = {
    "circle": [(0, 0, 1), (0.79, 0, 1), (0.81, 0, 0), (0.56, -0.56, 1), (-0.57, 0.57, 0), (1, 1, 0)],
    "s_shape": [(0, 0, 1), (0.31, 0, 0), (-0.69, 0.31, 1), (0.3, 0.31, 0), (0.69, -0.31, 1), (0, 0.81, 0)],
}
# Their shares of the square: half of it, and a band of width 0.6 and height 1.6.
SHARES = {"circle": 0.5, "s_shape": 0.6 * 1.6 / 4}


@pytest.mark.parametrize("name", AREAS)
def test_an_area_by_hand(name):
    points = torch.tensor([place[:2] for place in SIDES[name]], dtype=torch.float64)
    assert AREAS[name](points).tolist() == [bool(label) for *_, label in SIDES[name]]


@pytest.mark.parametrize("name", AREAS)
def test_the_grid_is_the_square_in_steps_of_a_hundredth(name):
    points = on_square(grid(name))
    axis = torch.linspace(-1, 1, 201, dtype=torch.float64)
    assert len(points) == SIDE**2 == 201**2
    torch.testing.assert_close(points, torch.cartesian_prod(axis, axis).flip(1), atol=2e-6, rtol=0)
    share = float(grid(name).labels.double().mean())
    assert share == pytest.approx(SHARES[name], abs=0.01)


@pytest.mark.parametrize("name", AREAS)
def test_what_is_drawn_and_what_stays(name, make_config):
    option = make_config(f"dataset={name}", "dataset.points=400").dataset
    (train, test), (other, same) = load_files(option, seed=1), load_files(option, seed=2)
    assert len(train) == len(other) == 400
    assert not torch.equal(train.images, other.images)
    assert torch.equal(test.images, same.images)
    assert sorted(test.indices.tolist()) == list(range(SIDE**2))
    assert torch.equal(test.images, grid(name).images[test.indices])
    assert float(test.labels[:1000].double().mean()) == pytest.approx(SHARES[name], abs=0.05)  # in no order
    assert train.labels.tolist() == AREAS[name](on_square(train)).long().tolist()
    assert torch.equal(train.pixels().double() * 2 - 1, on_square(train))  # exact in float32


def test_half_of_the_area_is_in_the_circle():
    assert math.pi * (2 / math.pi) == 4 / 2
