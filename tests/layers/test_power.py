import math

import pytest
import torch

from lipnet.layers.power import at_most_one, start_vector, unit


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_an_iteration_recovers_from_a_vector_that_leads_nowhere(value):
    last = torch.full((5,), value)
    start = start_vector(last, torch.float64)
    assert start.dtype == torch.float64
    assert 0 < float(start.norm()) < math.inf
    assert torch.equal(last.double(), start)  # the next step goes on from it


def test_an_iteration_goes_on_from_the_last_vector():
    last = torch.tensor([3.0, 4.0])
    start = start_vector(last, torch.float32)
    assert torch.equal(start, last)
    start.zero_()
    assert last.tolist() == [3.0, 4.0]  # a copy


def test_unit_vectors():
    assert unit(torch.tensor([3.0, 4.0])).tolist() == pytest.approx([0.6, 0.8])
    assert unit(torch.zeros(3)).tolist() == [0.0] * 3


@pytest.mark.parametrize(("factor", "norm"), [(0.5, 0.5), (1.0, 1.0), (8.0, 1.0), (2.0**100, 1.0)])
def test_a_matrix_is_divided_where_its_norm_exceeds_one(factor, norm):
    matrix = factor * torch.diag(torch.tensor([1.0, 0.25]))
    found = at_most_one(matrix, torch.tensor(1.0), torch.tensor(factor))
    assert found.diag().tolist() == pytest.approx([norm, norm / 4], rel=1e-6)
