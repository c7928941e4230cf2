"""Modules as users write them, in a folder of the test's own; what they register is gone afterwards."""

import sys

import pytest
from hydra.core.config_store import ConfigStore

from lipnet.attacks import table
from lipnet.cli import plugins as stored
from lipnet.options import plugins, tasks
from lipnet.options.registry import GROUPS
from lipnet.runs import commands

CLAMP = """
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipnet.certify import register_rule
from lipnet.certify.rounding import one_product, register_step
from lipnet.options import Named, checked, number, register


class LeakyClamp(nn.Module):
    def __init__(self, limit: float = 1.0, slope: float = 0.5) -> None:
        super().__init__()
        self.limit, self.slope = limit, slope

    def forward(self, inputs: Tensor) -> Tensor:
        return self.slope * torch.clamp(inputs, -self.limit, self.limit)


@register_rule(LeakyClamp)
def rule(module, shape):
    return 1.0


register_step(LeakyClamp)(one_product)


@dataclass(frozen=True)
class Clamp(Named):
    limit: float = checked(number(above=0), 1.0)
    slope: float = checked(number(at_least=0, at_most=1), 0.5)


register("activation", "clamp", Clamp, LeakyClamp)
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """``own_module("name", text)`` writes a module into the current folder, a fresh one; returns its path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(plugins.VARIABLE, "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(plugins, "_LOADED", {})
    monkeypatch.setattr(commands, "given_plugins", ())  # a run sets it
    monkeypatch.setattr(stored, "_stored", set())
    groups = {group: dict(options) for group, options in GROUPS.items()}
    attacks, known = dict(tasks.ATTACKS), dict(table.ATTACKS)
    modules = set(sys.modules)

    def write(name, text=CLAMP):
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    yield write
    for group, name in stored._stored:
        del ConfigStore.instance().repo[group][f"{name}.yaml"]
    for group, options in groups.items():
        GROUPS[group].clear()
        GROUPS[group].update(options)
    for found, before in ((tasks.ATTACKS, attacks), (table.ATTACKS, known)):
        found.clear()
        found.update(before)
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]
