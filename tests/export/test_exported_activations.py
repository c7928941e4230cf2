"""Activations leave lipnet by their registration alone: every option, one from outside, and none that is not one."""

import math
import types
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from lipnet.certify.plain import to_plain
from lipnet.errors import UserError
from lipnet.export import describe, rebuild
from lipnet.export.activations import activation_part, own_source
from lipnet.export.parts import exported_state
from lipnet.export.source import network_source
from lipnet.options import GROUPS, register
from lipnet.options.checks import checked, number, whole
from lipnet.options.option import Named

SCALE = 2.0


class Bend(nn.Module):
    """One from outside, with keys."""

    def __init__(self, slope: float, turns: int) -> None:
        super().__init__()
        self.slope, self.turns = slope, turns

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.maximum(inputs, self.slope * inputs) + math.pi * self.turns


class Forgetful(nn.Module):
    def __init__(self, slope: float, turns: int) -> None:
        super().__init__()


class Foreign(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return SCALE * inputs.abs()


class Stretched(Bend):
    """Of a class that an export does not have."""


class Redirected(Stretched):
    exported_as: ClassVar[type[nn.Module]] = Bend


@dataclass(frozen=True)
class BendKeys(Named):
    slope: float = checked(number(at_least=0, at_most=1))
    turns: int = checked(whole(0))


@pytest.fixture
def registered(monkeypatch):
    """Registers a class of this file as an activation, for one test."""
    monkeypatch.setitem(GROUPS, "activation", dict(GROUPS["activation"]))

    def add(name, keys=BendKeys):
        register("activation", name.lower(), keys, f"{__name__}:{name}")

    return add


def exported(layer):
    """The layer as the code of an exported network builds it."""
    source = network_source(describe(nn.Sequential(layer)))
    assert "lipnet" not in "".join(line for line in source.splitlines() if "import" in line)
    module = types.ModuleType("network")
    exec(compile(source, "network.py", "exec"), module.__dict__)
    network = module.build()
    network.load_state_dict(exported_state(nn.Sequential(layer)))
    return network


@pytest.mark.parametrize("name", GROUPS["activation"])
def test_every_activation_is_the_same_function_in_an_export(name, make_config):
    from lipnet.models.choices import activation

    layer, inputs = to_plain(activation(make_config(f"activation={name}"), 8)), torch.randn(3, 8, 4)
    network = exported(layer)
    assert torch.equal(network(inputs), layer(inputs))
    assert torch.equal(rebuild(describe(nn.Sequential(layer)), network.state_dict())(inputs), layer(inputs))


@pytest.mark.parametrize("name", ["Bend", "Redirected"])
def test_one_from_outside_needs_nothing_but_its_registration(name, registered):
    registered(name)
    layer = globals()[name](0.25, 2)
    inputs, network = torch.randn(3, 8), exported(layer)
    assert type(network[0]).__name__ == "Bend"
    assert type(network[0]).__module__ != __name__
    assert torch.equal(network(inputs), layer(inputs))
    described = describe(nn.Sequential(layer))
    assert described == [{"name": "0", "type": name, "slope": 0.25, "turns": 2}]
    assert torch.equal(rebuild(described, {})(inputs), layer(inputs))
    for key, value in (("slope", 2.0), ("turns", "2"), ("turns", None)):
        with pytest.raises(UserError, match=rf"layer 0, {name}: must be "):
            rebuild([described[0] | {key: value}], {})


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Bend(2.0, 0), r"slope=2\.0: must be a finite number >= 0 and <= 1"),
        (Forgetful(0.5, 0), "has no attribute 'slope'"),
        (Stretched(0.5, 0), "Stretched cannot be exported: it uses Bend, and an exported network's code has torch, "),
    ],
)
def test_what_cannot_be_exported_is_named(layer, reason, registered):
    registered(type(layer).__name__)
    with pytest.raises(UserError, match=reason):
        exported(layer)


@pytest.mark.parametrize("kind", [Foreign, Stretched, GROUPS["activation"]["maxmin"].load()])
def test_a_source_uses_torch_alone(kind):
    with pytest.raises(UserError, match="cannot be exported: it uses "):
        own_source(kind)


def test_a_builtin_of_another_meaning_is_no_builtin(monkeypatch):
    monkeypatch.setattr("lipnet.layers.activations.sorting.super", lambda: None, raising=False)
    with pytest.raises(UserError, match="PlainGroupSort cannot be exported: it uses super"):
        own_source(GROUPS["activation"]["groupsort"].load().exported_as)


@pytest.mark.parametrize("name", ["Bend", "PlainMaxMin", "Sigmoid", "maxmin"])
def test_no_other_class_is_found(name):
    assert activation_part(name) is None
    with pytest.raises(UserError, match="not described as one of"):
        rebuild([{"name": "0", "type": name}], {})
