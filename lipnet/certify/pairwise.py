"""Lipschitz bounds of the difference of two logits, for each pair of classes."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.bound import Shape, composition, lipschitz_bound, measured_once, nearest_type, output_shape
from lipnet.certify.faithful import unfaithful
from lipnet.certify.radius import any_pair
from lipnet.certify.rules.linear import DENSE_LAYERS
from lipnet.certify.walk import named_parts


def pairwise_lipschitz_bounds(model: nn.Module, input_shape: Shape) -> Tensor:
    """Upper bounds on the L2 Lipschitz constants of ``z_i - z_j``, float64 ``(classes, classes)``, on the CPU.

    ``L_features |w_i - w_j|`` where the network is a sequence that ends with a fully connected layer of rows w:
    everything before it is bounded as by ``lipschitz_bound``, its own rows are compared with one another (Singla et
    al. 2022, arXiv 2108.04062). ``sqrt(2) L``, the global bound, wherever that is lower and for any other network.
    Rounded outward; no entry is 0, the diagonal included, so that one may divide by them.

    Raises:
        TypeError: as ``lipschitz_bound``.
    """
    with measured_once():
        whole = lipschitz_bound(model, input_shape)
        layers = []
        if composition(model) is nn.Sequential:
            layers = [layer for _, layer in named_parts(model)]
        features = lipschitz_bound(nn.Sequential(*layers[:-1]), input_shape)
    outputs = output_shape(model, input_shape)
    if len(outputs) != 1:
        raise TypeError(f"pairs of classes need outputs of shape (classes,), and the network's are {outputs}")
    largest = any_pair(math.nextafter(whole, math.inf))
    kind = nearest_type(layers[-1], DENSE_LAYERS) if layers else None
    if kind is None or unfaithful(layers[-1], kind) is not None:  # its bound is by a rule of its own
        return torch.full((*outputs, *outputs), largest, dtype=torch.float64)
    last: Any = layers[-1]
    weight = last.weight.detach().double().cpu()
    constants = features * _row_distances(weight)
    # Equal rows would give infinite radii; an ulp of the global bound is as good.
    return constants.nan_to_num(math.inf, math.inf).clamp(largest * torch.finfo(torch.float64).eps, largest)


def _row_distances(weight: Tensor) -> Tensor:
    """``|w_i - w_j|`` of all rows of a float64 matrix, rounded up."""
    scale = math.ldexp(1.0, math.frexp(float(weight.abs().max()))[1] - 1)  # a power of 2: no square under- or overflows
    rows = weight / scale
    distances = torch.stack([torch.linalg.vector_norm(rows - row, dim=1) for row in rows])
    # A sum of n squares errs by at most n eps of itself, each difference, the root and the products after it by one.
    return scale * distances * (1 + (weight.shape[1] + 8) * torch.finfo(torch.float64).eps)
