"""A module is a unit of the kind whose formula is right for it, and of the generic kind where none is known to be."""

import pytest
import torch
from example_networks import Scaled, built
from torch import nn

from lipnet.layers import BCOPConv2d, LearnedShuffle, OrthogonalLinear
from lipnet.per_example.convolution import ConvUnit
from lipnet.per_example.effective import effective_parameters, leaves
from lipnet.per_example.generic import GenericUnit
from lipnet.per_example.kinds import units_of
from lipnet.per_example.matrix import LinearUnit, ShuffleUnit


def kinds(network):
    sources = effective_parameters(network)
    return {unit.name: type(unit) for unit in units_of(network, sources, leaves(sources), "auto")}


class Louder(OrthogonalLinear):
    """A constrained layer with a forward pass of its own."""

    def forward(self, inputs):
        return 2 * super().forward(inputs)


def replaced() -> nn.Module:
    linear = nn.Linear(3, 3)
    linear.forward = torch.sin
    return linear


def with_another_parameter() -> nn.Module:
    linear = nn.Linear(3, 3)
    linear.scale = nn.Parameter(torch.ones(()))
    return linear


KINDS = {
    "linear": (lambda: nn.Linear(3, 3), LinearUnit),
    "orthogonal": (lambda: OrthogonalLinear(3, 3), LinearUnit),
    "bcop": (lambda: BCOPConv2d(3, 3, 3), ConvUnit),
    "shuffle": (lambda: LearnedShuffle(4), ShuffleUnit),
    "own forward": (lambda: Louder(3, 3), GenericUnit),
    "replaced forward": (replaced, GenericUnit),
    "own parameter": (with_another_parameter, GenericUnit),
    "around modules": (Scaled, GenericUnit),
    "parametrized": (lambda: built("parametrized")[0], GenericUnit),
}


@pytest.mark.parametrize(("make", "kind"), KINDS.values(), ids=KINDS)
def test_kinds(make, kind):
    assert kinds(make()) == {"": kind}


def test_each_module_is_a_unit_once_and_frozen_ones_are_none():
    linear = nn.Linear(3, 3)
    network = nn.Sequential(linear, nn.Sequential(linear, nn.ReLU()), nn.PReLU(), nn.Linear(3, 3).requires_grad_(False))
    assert kinds(network) == {"0": LinearUnit, "2": GenericUnit}
