"""Every layer that a network calls is met, with its name and the shape of its inputs, wherever it is."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from lipnet.certify import register_rule
from lipnet.certify.walk import named_layers, walk
from lipnet.layers import Concat, Mirrored, PaddedConv2d, Residual, Scale


class Whole(Residual):
    """A block with a rule of its own."""


@register_rule(Whole)
def _(module, input_shape):
    return 2.0


class Backwards(nn.Sequential):
    def forward(self, inputs):
        for part in reversed(self):
            inputs = part(inputs)
        return inputs


TWICE = Scale(2.0)
NETWORKS = {  # the network, the shape of its inputs, and (name, type, shape of its inputs) of each layer
    "flat": (
        lambda: nn.Sequential(PaddedConv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 3)),
        (1, 4, 4),
        [("0", "PaddedConv2d", (1, 4, 4)), ("1", "Flatten", (2, 4, 4)), ("2", "Linear", (32,))],
    ),
    "residual": (
        lambda: nn.Sequential(nn.Linear(3, 4), Residual(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 4)))),
        (3,),
        [
            ("0", "Linear", (3,)), ("1", "Residual", (4,)), ("1.shortcut", "Identity", (4,)),
            ("1.branch", "Sequential", (4,)), ("1.branch.0", "Linear", (4,)), ("1.branch.1", "Linear", (6,)),
        ],
    ),
    "concatenation": (
        lambda: nn.Sequential(Concat(nn.Linear(3, 4), Residual(Scale(0.5))), nn.Linear(7, 2)),
        (3,),
        [
            ("0", "Concat", (3,)), ("0.branches.0", "Linear", (3,)), ("0.branches.1", "Residual", (3,)),
            ("0.branches.1.shortcut", "Identity", (3,)), ("0.branches.1.branch", "Scale", (3,)), ("1", "Linear", (7,)),
        ],
    ),
    "mirrored": (
        lambda: nn.Sequential(Mirrored(nn.Flatten()), nn.Linear(8, 2)),
        (1, 2, 4),
        [("0", "Mirrored", (1, 2, 4)), ("0.inner", "Flatten", (1, 2, 4)), ("1", "Linear", (8,))],
    ),
    "a module used twice": (
        lambda: nn.Sequential(TWICE, nn.Linear(3, 2), TWICE),
        (3,),
        [("0", "Scale", (3,)), ("1", "Linear", (3,)), ("2", "Scale", (2,))],
    ),
    "names of its own": (
        lambda: nn.Sequential(OrderedDict(first=Scale(1.0), rest=nn.Sequential(OrderedDict(last=Scale(2.0))))),
        (3,),
        [("first", "Scale", (3,)), ("rest", "Sequential", (3,)), ("rest.last", "Scale", (3,))],
    ),
    "a rule of its own": (lambda: nn.Sequential(Whole(nn.Linear(3, 3))), (3,), [("0", "Whole", (3,))]),
    "one layer": (lambda: nn.Linear(3, 2), (3,), [("", "Linear", (3,))]),
    "one block": (
        lambda: Residual(nn.Linear(3, 3)),
        (3,),
        [("shortcut", "Identity", (3,)), ("branch", "Linear", (3,))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NETWORKS)
def test_every_layer_is_met_where_it_is_called(case):
    make, shape, expected = NETWORKS[case]
    network = make()
    met = list(walk(network, shape))
    assert [(layer.name, type(layer.module).__name__, layer.input_shape) for layer in met] == expected
    assert [(layer.name, layer.module) for layer in met] == list(named_layers(network))
    for layer in met:
        assert network.get_submodule(layer.name) is layer.module
        assert layer.output_shape == layer.module(torch.zeros(1, *layer.input_shape)).shape[1:]
        assert layer.is_composition == (type(layer.module) in (nn.Sequential, Residual, Concat, Mirrored))


@pytest.mark.parametrize("network", [Backwards(Scale(1.0)), nn.Sequential(Residual(Backwards(Scale(1.0))))])
def test_what_calls_its_parts_in_another_way_is_refused(network):
    for layers in (walk(network, (3,)), named_layers(network)):
        with pytest.raises(TypeError, match="which layers Backwards calls: Backwards overrides `forward`"):
            list(layers)
