"""A network at a glance."""

import math

from torch import nn

from lipnet.certify.bound import Shape, composition, lipschitz_bound, measured_once
from lipnet.certify.walk import Layer, walk
from lipnet.layers import PaddedConv2d
from lipnet.models.gan import Gan
from lipnet.models.plain import hardened


def summarize(model: nn.Sequential, input_shape: Shape) -> str:
    """A table of layers, output shapes, learned parameters and Lipschitz bounds as deployed, with totals.

    Layers inside another, such as ``Residual``, stand below it with their names; their bounds make its own. Of a GAN,
    one table for the generator and one for the critic.
    """
    if isinstance(model, Gan):
        generator = _table(model.generator, (model.latent,), bounded=False)
        critic = _table(model.critic, input_shape, bounded=model.constrained)
        return f"generator\n{generator}\ncritic\n{critic}"
    return _table(model, input_shape, bounded=True)


def _table(network: nn.Module, input_shape: Shape, bounded: bool) -> str:
    rows, total, product = [("layer", "output", "parameters", "Lipschitz bound")], 0, 1.0
    network = network if composition(network) is nn.Sequential else nn.Sequential(network)
    with measured_once():
        for layer in walk(network, input_shape):
            bound = lipschitz_bound(hardened(layer.module), layer.input_shape) if bounded else math.nan
            product *= bound if "." not in layer.name else 1.0
            count = 0 if layer.is_composition else count_parameters(layer.module)  # its parts' are in their own rows
            total += count
            shown = "" if layer.is_composition else f"{count:,}"
            rows.append((_label(layer), "x".join(map(str, layer.output_shape)), shown, _bound(bound)))
    rows.append(("total", "", f"{total:,}", _bound(product)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}" for row in rows
    )


def _bound(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.7f}"


def count_parameters(module: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _label(layer: Layer) -> str:
    """What the layer is and, inside of another one, its name."""
    module = layer.module
    text = str(module.conv) if isinstance(module, PaddedConv2d) else str(module)
    text = type(module).__name__ if layer.is_composition else text
    return f"  {layer.name}: {text}" if "." in layer.name else text
