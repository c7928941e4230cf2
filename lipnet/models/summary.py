"""A network at a glance."""

from torch import nn

from lipnet.certify.bound import Shape, lipschitz_bound, output_shape
from lipnet.layers import PaddedConv2d


def summarize(model: nn.Sequential, input_shape: Shape) -> str:
    """A table of layers, output shapes, learned parameters and Lipschitz bounds, with totals."""
    rows, shape, total, product = [("layer", "output", "parameters", "Lipschitz bound")], input_shape, 0, 1.0
    for layer in model:
        bound = lipschitz_bound(layer, shape)
        shape = output_shape(layer, shape)
        count = count_parameters(layer)
        total, product = total + count, product * bound
        rows.append((_name(layer), "x".join(map(str, shape)), f"{count:,}", f"{bound:.7f}"))
    rows.append(("total", "", f"{total:,}", f"{product:.7f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}" for row in rows
    )


def count_parameters(module: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _name(layer: nn.Module) -> str:
    return str(layer.conv) if isinstance(layer, PaddedConv2d) else str(layer)
