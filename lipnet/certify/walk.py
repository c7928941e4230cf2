"""The modules that a network is made of, where it calls them: through ``nn.Sequential``, ``Residual`` and ``Concat``.

Names are those of ``named_modules``, such as ``2.branch.0``; a module that is used twice is met twice, each time under
another name. What has a Lipschitz rule of its own is one layer, whatever it holds.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from lipnet.certify.bound import Shape, composition, output_shape
from lipnet.layers import Concat, Residual


@dataclass(frozen=True)
class Layer:
    """A module and the shape of its inputs there, without batch axis."""

    name: str
    module: nn.Module
    input_shape: Shape

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
    elif isinstance(module, Residual) and kind is Residual:
        yield "shortcut", module.shortcut
        yield "branch", module.branch
    elif isinstance(module, Concat) and kind is Concat:
        for number, branch in enumerate(module.branches):
            yield f"branches.{number}", branch


def parts(module: nn.Module, shape: Shape) -> Iterator[Layer]:
    """The same with the shapes of their inputs; a shape is found out when its part is asked for."""
    in_turn = composition(module) is nn.Sequential
    for name, part in named_parts(module):
        layer = Layer(name, part, shape)
        yield layer
        shape = layer.output_shape if in_turn else shape


def named_layers(network: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """All modules inside, each composition before its parts."""
    for name, part in named_parts(network):
        yield prefix + name, part
        yield from named_layers(part, f"{prefix}{name}.")


def walk(network: nn.Module, shape: Shape, prefix: str = "") -> Iterator[Layer]:
    """The same with the shapes of their inputs."""
    for part in parts(network, shape):
        yield Layer(prefix + part.name, part.module, part.input_shape)
        yield from walk(part.module, part.input_shape, f"{prefix}{part.name}.")
