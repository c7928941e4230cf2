"""How long the gradient of one example's loss by each weight can be, whatever the example: by Lipschitz constants.

A gradient by the weight of a layer is made of the layer's input and of the gradient of its output. The one is no longer
than that of a reference input, and the distance to it times the constants before; the other no longer than the loss's
slope times the constants behind (Béthune et al. 2024, arXiv 2305.16202, section 3).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.bound import lipschitz_bound, nearest_type
from lipnet.certify.faithful import unfaithful
from lipnet.certify.rules.linear import CONSTRAINED_CONVOLUTIONS, DENSE_LAYERS, LINEAR_LAYERS
from lipnet.certify.walk import Layer, walk
from lipnet.layers.constrained import Constrained, Estimated
from lipnet.layers.dense.unit_rows import UnitRowLinear

# By which constrained layers may exceed their norm of 1 in the float32 of training, all layers together; and rounding.
_SLACK = 1e-3


@dataclass(frozen=True)
class Inputs:
    """The inputs that examples may have: all within ``radius`` of ``center``, which has no batch axis."""

    center: Tensor
    radius: float


class Sensitivity:
    """Bounds on per-example gradients by effective weights, of a network of layers in a row.

    Args:
        network: it may be trained meanwhile: constrained layers are bounded by construction, and everything else in it
            must have no parameters.
        inputs: what examples may be.
        slope: of the loss, by the network's outputs.

    Raises:
        TypeError: of a layer, nothing is known of its constant while it trains; the message names it.
    """

    def __init__(self, network: nn.Module, inputs: Inputs, slope: float) -> None:
        self.inputs, self.slope = inputs, slope
        was_training = network.training
        network.train()  # as it is when examples reach it: dropout multiplies then
        try:
            self.layers = [layer for layer in walk(network, tuple(inputs.center.shape)) if not _is_row(layer)]
            self.constants = [_constant(layer) for layer in self.layers]
        finally:
            network.train(was_training)
        _refuse_repeated(self.layers)

    @torch.no_grad()
    def bounds(self) -> dict[str, float]:
        """By the names of weights and biases: bounds on the L2 norms of their gradients, at the weights as they are."""
        found: dict[str, float] = {}
        inputs, before = self.inputs.center[None], 1.0
        for number, (layer, constant) in enumerate(zip(self.layers, self.constants, strict=True)):
            longest = float(inputs.double().norm()) + before * self.inputs.radius
            behind = self.slope * math.prod(self.constants[number + 1 :])
            found |= _of_layer(layer, longest * (1 + _SLACK), behind * (1 + _SLACK))
            inputs, before = layer.module(inputs), before * constant
        return found


def _refuse_repeated(layers: list[Layer]) -> None:
    """The gradient of a weight that is used twice is a sum, of which each part alone would be bounded."""
    first: dict[int, str] = {}
    for layer in layers:
        for parameter in layer.module.parameters():
            name = first.setdefault(id(parameter), layer.name)
            if name != layer.name:
                raise TypeError(f"{layer.name} ({layer.module}): shares its parameters with {name}")


def _is_row(layer: Layer) -> bool:
    return isinstance(layer.module, nn.Sequential) and layer.is_composition


def _constant(layer: Layer) -> float:
    if layer.is_composition:
        raise TypeError(f"{layer.name} ({type(layer.module).__name__}): layers must follow each other in a row")
    kind = nearest_type(layer.module, LINEAR_LAYERS)
    reason = unfaithful(layer.module, kind) if kind is not None else None
    if reason is not None:
        raise TypeError(f"{layer.name} ({layer.module}): {reason}")
    if isinstance(layer.module, UnitRowLinear):
        return math.sqrt(layer.module.out_features)
    known = isinstance(layer.module, Constrained) and _bounded_by_one(layer.module)
    if known and not isinstance(layer.module, Estimated):
        return 1.0
    if isinstance(layer.module, Estimated) or list(layer.module.parameters()):
        raise TypeError(f"{layer.name} ({layer.module}): nothing bounds its Lipschitz constant while it trains")
    return lipschitz_bound(layer.module, layer.input_shape)


def _bounded_by_one(layer: Constrained) -> bool:
    """Whether its class says so: of a weight that a subclass outside of lipnet builds anew, ancestors say nothing."""
    for kind in type(layer).__mro__:
        if "bounded_by_one" in vars(kind):
            return bool(vars(kind)["bounded_by_one"])
        of_somebody = kind.__module__.partition(".")[0] != "lipnet"
        if of_somebody and not vars(kind).keys().isdisjoint(Constrained.builders):
            return False
    return False


def _of_layer(layer: Layer, inputs: float, outputs: float) -> dict[str, float]:
    """Of a layer's weight and bias, from bounds on its inputs and on the gradient of its outputs.

    The gradient of a convolution's weight is a product with all patches, in which a pixel occurs ``(k / s)²`` times at
    most; that of a bias sums over positions.
    """
    module: Any = layer.module
    if isinstance(module, CONSTRAINED_CONVOLUTIONS):
        repeats = -(-module.weight_shape()[-1] // module.stride)
        positions = math.prod(layer.output_shape[1:])
    elif isinstance(module, DENSE_LAYERS):
        repeats, positions = 1, math.prod(layer.output_shape[:-1])
    else:
        return {}
    found = {}
    if any(parameter.requires_grad for parameter in module.free_parameters()):
        found[f"{layer.name}.weight"] = inputs * outputs * repeats
    if module.bias is not None and module.bias.requires_grad:
        found[f"{layer.name}.bias"] = outputs * math.sqrt(positions)
    return found
