"""A network at a glance."""

import math

from torch import nn

from lipnet.certify.bound import Shape, composition, lipschitz_bound, measured_once
from lipnet.certify.plain import hardened
from lipnet.certify.walk import Layer, walk
from lipnet.layers.convolutions.padded import PaddedConv2d
from lipnet.models.gan import Gan


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
    if composition(network) is not nn.Sequential:
        network = nn.Sequential(network)
    with measured_once():
        for layer in walk(network, input_shape):
            bound = lipschitz_bound(hardened(layer.module), layer.input_shape) if bounded else math.nan
            if "." not in layer.name:  # what is inside of a block is in the block's bound
                product *= bound
            shown = ""
            if not layer.is_composition:  # the parameters of a block are in its parts' rows
                count = count_parameters(layer.module)
                total += count
                shown = f"{count:,}"
            rows.append((_label(layer), "x".join(map(str, layer.output_shape)), shown, _bound(bound)))
    rows.append(("total", "", f"{total:,}", _bound(product)))
    first, second, third, fourth = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = []
    for layer_text, output, parameters, bound_text in rows:
        lines.append(f"{layer_text:<{first}}  {output:>{second}}  {parameters:>{third}}  {bound_text:>{fourth}}")
    return "\n".join(lines)


def _bound(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.7f}"


def count_parameters(module: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _label(layer: Layer) -> str:
    """What the layer is and, inside of another one, its name."""
    module = layer.module
    if layer.is_composition:
        text = type(module).__name__
    elif isinstance(module, PaddedConv2d):
        text = str(module.conv)
    else:
        text = str(module)
    return f"  {layer.name}: {text}" if "." in layer.name else text
