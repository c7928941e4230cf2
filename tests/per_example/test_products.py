"""Ghost norms are those of the gradients; operations are counted as they are done."""

import pytest
import torch

from lipnet.per_example.products import ghost_operations, ghost_squares, outer_operations, outer_products, squares_of


@pytest.mark.parametrize("positions", [1, 2, 7])
@pytest.mark.parametrize("groups", [1, 3])
def test_ghost_norms(positions, groups):
    inputs = torch.randn(4, groups, 5, positions, dtype=torch.float64)
    gradients = torch.randn(4, groups, 2, positions, dtype=torch.float64)
    exact = squares_of(outer_products(inputs, gradients))
    torch.testing.assert_close(ghost_squares(inputs, gradients), exact, rtol=1e-12, atol=0)


def test_no_examples_and_numbers():
    assert squares_of(torch.zeros(0, 3, 2)).shape == (0,)
    assert squares_of(torch.tensor([2.0, 3.0])).tolist() == [4, 9]


def test_gram_matrices_pay_where_positions_are_few():
    wide, long = (1, 512, 512, 16), (1, 27, 64, 4096)
    assert ghost_operations(*wide) < outer_operations(*wide)
    assert ghost_operations(*long) > outer_operations(*long)
