"""A network at a glance."""

import math

from torch import nn

from lipnet.certify.bound import Shape, lipschitz_bound, output_shape
from lipnet.layers import PaddedConv2d
from lipnet.models.gan import Gan


def summarize(model: nn.Sequential, input_shape: Shape) -> str:
    """A table of layers, output shapes, learned parameters and Lipschitz bounds, with totals.

    Of a GAN, one table for the generator and one for the critic.
    """
    if isinstance(model, Gan):
        generator = _table(model.generator, (model.latent,), bounded=False)
        critic = _table(model.critic, input_shape, bounded=model.constrained)
        return f"generator\n{generator}\ncritic\n{critic}"
    return _table(model, input_shape, bounded=True)


def _table(network: nn.Sequential, input_shape: Shape, bounded: bool) -> str:
    rows, shape, total, product = [("layer", "output", "parameters", "Lipschitz bound")], input_shape, 0, 1.0
    for layer in network:
        bound = lipschitz_bound(layer, shape) if bounded else math.nan
        shape = output_shape(layer, shape)
        count = count_parameters(layer)
        total, product = total + count, product * bound
        rows.append((_name(layer), "x".join(map(str, shape)), f"{count:,}", _bound(bound)))
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


def _name(layer: nn.Module) -> str:
    return str(layer.conv) if isinstance(layer, PaddedConv2d) else str(layer)
