"""The Lipschitz bound of networks of linear splines by their second-order variation, in any p-norm.

Aziznejad et al. 2020, arXiv 2001.06263: for W followed by splines ``max ‖row of W‖_q · (Σ ‖spline‖_BV2^p)^(1/p)``, with
``1/p + 1/q = 1`` and the norm ``TV2 + |f(0)| + |f(1)|`` of a spline f, at least its steepest slope. A penalty of that
norm is one of the bound; as a bound, ``lipschitz_bound`` is far lower.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.bound import Shape
from lipnet.certify.plain import to_plain
from lipnet.certify.rules.linear import DENSE_LAYERS, PADDED_CONVOLUTIONS
from lipnet.certify.walk import walk
from lipnet.layers.activations.sorting import Abs, GroupSort, MaxMin
from lipnet.layers.activations.spline import FixedSpline
from lipnet.layers.shape import Normalize

_ONE = (Abs, GroupSort, MaxMin, nn.ReLU, nn.Identity, nn.Flatten, nn.Unflatten)  # 1-Lipschitz in every p-norm


@torch.no_grad()
def bv2_bound(network: nn.Module, input_shape: Shape, p: float) -> float:
    """An upper bound on ``‖f(x) - f(y)‖_p / ‖x - y‖_p``; sums and maxima are over all outputs of a layer, each pixel's.

    Args:
        network: layers in a row.
        p: at least 1; ``math.inf`` too.

    Raises:
        ValueError: p is no such number.
        TypeError: the bound is not known of a layer.
    """
    if not p >= 1:
        raise ValueError(f"bv2_bound needs p >= 1, got {p}")
    bound, largest = 1.0, False  # of the differences in the p-norm or, between W and its splines, in the largest entry
    shape = input_shape
    for layer in walk(to_plain(network.eval(), blocked=False).double(), input_shape):
        module: Any = layer.module
        entries = math.prod(layer.input_shape)
        if isinstance(module, FixedSpline):
            norms = module.bv2().expand(layer.input_shape[0] if module.splines == 1 else -1)
            pixels = entries // len(norms)
            total = float(torch.linalg.vector_norm(norms, p)) * _root(pixels, p)
            bound, largest = bound * (total if largest else float(norms.max())), False
        elif isinstance(module, (*DENSE_LAYERS, *PADDED_CONVOLUTIONS)):
            bound *= _root(entries, p) if largest else 1.0
            bound, largest = bound * _largest_row(module, layer.input_shape, p), True
        elif isinstance(module, Normalize):
            bound *= float((1 / module.std).max())
        elif not isinstance(module, _ONE):
            raise TypeError(f"bv2_bound knows no bound of layer {layer.name} ({type(module).__name__})")
        shape = layer.output_shape
    return bound * (_root(math.prod(shape), p) if largest else 1.0) * (1 + 1e-9)


def _root(count: int, p: float) -> float:
    return float(count) ** (1 / p)


def _largest_row(module: Any, shape: Shape, p: float) -> float:
    """The largest q-norm of a row of the layer's matrix: of the weights that reach one output."""
    dual = 1 / (1 - 1 / p) if p > 1 else math.inf
    weight = module.weight if isinstance(module, DENSE_LAYERS) else _of_one_output(module, shape)
    return float(torch.linalg.vector_norm(weight.flatten(1), dual, dim=1).max())


def _of_one_output(module: Any, shape: Shape) -> Tensor:
    """A kernel; where it reaches around the image, its taps on one pixel are one. At zeros some are left out."""
    conv, size = module.conv, shape[-2:]
    kernel: Tensor = conv.weight
    if module.padding_mode == "circular":
        for axis, length in zip((2, 3), size, strict=True):
            places = torch.arange(kernel.shape[axis], device=kernel.device) * conv.dilation[0] % length
            folded = kernel.new_zeros(*kernel.shape[:axis], length, *kernel.shape[axis + 1 :])
            kernel = folded.index_add(axis, places, kernel)
    return kernel
