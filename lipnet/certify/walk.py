"""The modules that a network is made of, where it calls them: through ``nn.Sequential``, ``Residual`` and the like.

Names are those of ``named_modules``, such as ``2.branch.0``; a module that is used twice is met twice, each time under
another name. What has a Lipschitz rule of its own is one layer, whatever it holds.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from lipnet.certify.bound import Shape, composition, output_shape
from lipnet.certify.faithful import unfaithful
from lipnet.layers.blocks.composition import Concat, Residual
from lipnet.layers.blocks.graph import Graph
from lipnet.layers.blocks.mean import Mean
from lipnet.layers.blocks.mirrored import Mirrored


@dataclass(frozen=True)
class Layer:
    """A module and the shape of its inputs there, without batch axis."""

    name: str
    module: nn.Module
    input_shape: Shape

    @property
    def is_composition(self) -> bool:
        """Whether it does nothing but call the layers that follow it, whose names begin with its own."""
        return composition(self.module) is not None

    @functools.cached_property
    def output_shape(self) -> Shape:
        return output_shape(self.module, self.input_shape)


def named_parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that a composition calls, in the order of evaluation; none of what is no composition."""
    kind = composition(module)
    if kind is nn.Sequential:
        for name, part in module._modules.items():  # named_children() leaves out a module's second use
            assert part is not None
            yield name, part
    elif kind is Residual and isinstance(module, Residual):
        yield "shortcut", module.shortcut
        yield "branch", module.branch
    elif kind is Concat and isinstance(module, Concat):
        for number, branch in enumerate(module.branches):
            yield f"branches.{number}", branch
    elif kind is Mean and isinstance(module, Mean):
        for number, member in enumerate(module.members):
            yield f"members.{number}", member
    elif kind is Mirrored and isinstance(module, Mirrored):
        yield "inner", module.inner
    elif kind is Graph and isinstance(module, Graph):
        for name, part in module.calls.items():
            yield f"calls.{name}", part


def parts(module: nn.Module, shape: Shape, prefix: str = "") -> Iterator[Layer]:
    """The parts of ``named_parts``, with the shapes of their inputs; a shape is found when its part is asked for."""
    if composition(module) is Graph and isinstance(module, Graph):
        for number, node in enumerate(module.nodes, 1):
            if node.module is not None:
                source = module.shapes[node.sources[0]]
                yield Layer(f"{prefix}calls.{number}", module.calls[str(number)], source)
        return
    in_turn = composition(module) is nn.Sequential
    for name, part in named_parts(module):
        layer = Layer(prefix + name, part, shape)
        yield layer
        shape = layer.output_shape if in_turn else shape


def named_layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All layers, each composition before its parts; a network that is no composition is one layer without a name.

    Raises:
        TypeError: a composition does something else than its class does (a hook, an overridden method, ...).
    """
    if composition(network) is None:
        yield "", network
    else:
        yield from _named_inside(network, "")


def _named_inside(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    _refuse_other_functions(module)
    for name, part in named_parts(module):
        yield prefix + name, part
        yield from _named_inside(part, f"{prefix}{name}.")


def walk(network: nn.Module, shape: Shape) -> Iterator[Layer]:
    """The layers of a network, those inside of blocks too, on inputs of a shape (without batch axis)."""
    if composition(network) is None:
        yield Layer("", network, shape)
    else:
        yield from _inside(network, shape, "")


def _inside(module: nn.Module, shape: Shape, prefix: str) -> Iterator[Layer]:
    _refuse_other_functions(module)
    for part in parts(module, shape, prefix):
        yield part
        yield from _inside(part.module, part.input_shape, f"{part.name}.")


def _refuse_other_functions(module: nn.Module) -> None:
    kind = composition(module)
    reason = unfaithful(module, kind, parts=False) if kind is not None else None
    if reason is not None:
        raise TypeError(f"it is not known which layers {type(module).__name__} calls: {reason}")
