"""What training did to each layer: its singular values, and the gradients that pass it.

The point of orthogonal layers: all their singular values are 1, so that a gradient keeps its norm on the way back.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify import margins, singular_values
from lipnet.certify.plain import to_plain
from lipnet.certify.rules.linear import LINEAR_LAYERS
from lipnet.certify.walk import Layer, walk
from lipnet.data.images import Split
from lipnet.runs.files import write_csv

_QUANTILES = 101
_EXAMPLES = 256


def _linear_layers(model: nn.Module, images: Tensor) -> list[Layer]:
    """In the order of the forward pass; one that is used twice is there twice."""
    return [layer for layer in walk(model, images.shape[1:]) if isinstance(layer.module, LINEAR_LAYERS)]


def _column(layer: Layer) -> str:
    return f"{layer.name}_{type(layer.module).__name__}"


@contextmanager
def recorded_outputs(layers: list[Layer]) -> Iterator[list[Tensor]]:
    """A list of their outputs that fills, in the order of the forward pass, while the model is called."""
    outputs: list[Tensor] = []
    modules = {layer.module for layer in layers}
    hooks = [module.register_forward_hook(lambda module, inputs, output: outputs.append(output)) for module in modules]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def write_diagnostics(directory: Path, model: nn.Module, split: Split) -> None:
    """Writes ``singular_values.csv`` and ``gradient_norms.csv``, some kilobytes each.

    Args:
        model: a classifier on the split's device; its effective weights are used as they are now.
        split: gradients are taken at its first 256 examples.
    """
    images, labels = split.pixels(slice(_EXAMPLES)), split.labels[:_EXAMPLES]
    write_csv(directory / "singular_values.csv", spectrum_rows(model, images))
    write_csv(directory / "gradient_norms.csv", gradient_rows(model, images, labels))


@torch.no_grad()
def spectrum_rows(model: nn.Module, images: Tensor) -> list[dict[str, Any]]:
    """Quantiles of each linear layer's singular values: a row a quantile (0, 0.01, ..., 1), a column a layer.

    Columns are named ``NAME_TYPE``, in the order of the forward pass. A spectrum of fewer values than quantiles is
    interpolated between them.
    """
    fractions = torch.linspace(0, 1, _QUANTILES, dtype=torch.float64)
    columns = {
        _column(layer): _quantiles(singular_values(layer.module, layer.input_shape), fractions)
        for layer in _linear_layers(model, images)
    }
    return [
        {"quantile": round(float(fraction), 4), **{name: float(values[row]) for name, values in columns.items()}}
        for row, fraction in enumerate(fractions)
    ]


def _quantiles(values: Tensor, fractions: Tensor) -> Tensor:
    """As ``torch.quantile``, which refuses more than 16 million values."""
    ordered = values.sort().values
    places = fractions * (len(ordered) - 1)
    low = places.floor().long()
    high = places.ceil().long()
    return ordered[low] + (places - low) * (ordered[high] - ordered[low])


def gradient_rows(model: nn.Module, images: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """L2 norms of the gradient of the margin ``z_y - max_{j != y} z_j``, by the layer whose output it is taken at.

    One row for the image (``input``), one for each linear layer; ``mean`` and ``std`` over the examples, and
    ``relative``: the mean over that at the last layer. Layers that keep gradient norms have 1 there, all the way down.
    """
    plain = to_plain(model).requires_grad_(False)
    inputs = images.detach().clone().requires_grad_()
    with torch.enable_grad(), recorded_outputs(_linear_layers(plain, images)) as recorded:
        logits = plain(inputs)
        gradients = torch.autograd.grad(margins(logits, labels).sum(), [inputs, *recorded], allow_unused=True)
    norms = [
        torch.zeros(len(images)) if gradient is None else gradient.double().flatten(1).norm(dim=1)
        for gradient in gradients
    ]
    last = float(norms[-1].mean())
    names = ["input", *map(_column, _linear_layers(model, images))]
    return [
        {
            "layer": name,
            "mean": float(norm.mean()),
            "std": float(norm.std(correction=0)),
            "relative": float(norm.mean()) / last if last else math.nan,
        }
        for name, norm in zip(names, norms, strict=True)
    ]
