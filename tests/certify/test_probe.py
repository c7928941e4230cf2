import math

import pytest
import torch
from torch import nn

from lipnet.certify.probe import misfit, refute


class Scaled(nn.Module):
    """Multiplies by 2, and by 5 near the origin of one direction only."""

    def forward(self, inputs):
        return 2 * inputs + 3 * torch.relu(inputs[:, :1])


class BatchMean(nn.Module):
    def forward(self, inputs):
        return inputs - inputs.mean(0)


MODULES = {  # module, bound, why it is none
    "true": (nn.Linear(3, 2), math.inf, None),
    "exact": (nn.Flatten(), 1.0, None),
    "steeper": (Scaled(), 2.0, "its rule allows 2, and it was seen to be "),
    "not so steep": (Scaled(), 5.0 + 3.0, None),
    "a batch together": (BatchMean(), 1.0, "an example's output depends on the others of its batch, or on chance"),
    "by chance": (nn.Dropout(0.5), 2.0, "depends on the others of its batch, or on chance"),
    "other inputs": (nn.Linear(4, 2), 9.0, r"it does not take inputs of shape (3,) ("),
    "one number": (nn.L1Loss(), 1.0, "it does not take inputs of shape"),
}


@pytest.mark.parametrize("case", MODULES)
def test_a_bound_that_is_too_small_is_refuted(case):
    module, bound, message = MODULES[case]
    found = refute(module, (3,), bound)
    assert found is None if message is None else message in found


def test_a_norm_is_refuted_just_below_and_never_above():
    """Power iteration finds the steepest direction of a matrix, whose norm is 3."""
    linear = nn.Linear(3, 3).double()
    linear.weight.data = torch.diag(torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64))
    assert refute(linear, (3,), 3.0) is None
    assert "it was seen to be" in refute(linear, (3,), 2.9)


def test_a_misfit_is_said_and_what_fits_is_not():
    assert misfit(nn.Linear(3, 2), (3,)) is None
    assert misfit(nn.Linear(3, 2), (4,)).startswith("it does not take inputs of shape (4,) (")
