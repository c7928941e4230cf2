"""Upper bounds on Lipschitz constants, composed over modules. A module without a rule is an error, never a silent 1."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.spectrum import Shape, singular_values
from lipnet.layers import (
    Abs,
    BCOPConv2d,
    GroupSort,
    MaxMin,
    Normalize,
    OrthogonalLinear,
    PaddedConv2d,
    PixelUnshuffle,
    Scale,
)

Rule = Callable[[Any, Shape], float]
_RULES: dict[type[nn.Module], Rule] = {}


def lipschitz_bound(module: nn.Module, input_shape: Shape) -> float:
    """An upper bound on the L2 Lipschitz constant of ``module`` on inputs of ``input_shape`` (without batch axis).

    Computed in float64 from the effective weights and rounded outward, with an allowance for the eigenvalue solver.
    A convolution's bound holds for the stated image size. Sequential modules multiply.

    Raises:
        TypeError: a module has no rule; the message names it. ``register_rule`` adds one.
    """
    with torch.no_grad():
        return _bound(module, tuple(input_shape), type(module).__name__)


def register_rule(*module_types: type[nn.Module]) -> Callable[[Rule], Rule]:
    """Registers ``rule(module, input_shape) -> upper bound`` for module types (and their subclasses).

    >>> @register_rule(MyPermutation)
    ... def _(module, input_shape):
    ...     return 1.0
    """

    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(module_types, rule))
        return rule

    return register


def _bound(module: nn.Module, shape: Shape, name: str) -> float:
    for ancestor in type(module).__mro__:
        if ancestor in _RULES:
            return _RULES[ancestor](module, shape)
        if ancestor is nn.Sequential:
            return _sequential(module, shape, name)
    raise TypeError(
        f"no Lipschitz rule for {name} ({type(module).__name__}); compose the network of modules that have one, "
        "or give it one with lipnet.certify.register_rule"
    )


def _sequential(module: nn.Module, shape: Shape, name: str) -> float:
    bound = 1.0
    for child_name, child in module.named_children():
        bound = _up(bound * _bound(child, shape, f"{name}.{child_name}"))
        shape = output_shape(child, shape)
    return bound


def output_shape(module: nn.Module, input_shape: Shape) -> Shape:
    """The shape of the module's output, without batch axis."""
    example = next((tensor for tensor in (*module.parameters(), *module.buffers())), torch.zeros(()))
    with torch.no_grad():
        return tuple(module(torch.zeros(1, *input_shape, dtype=example.dtype, device=example.device)).shape[1:])


@register_rule(
    nn.Identity, nn.Flatten, nn.ReLU, nn.LeakyReLU, nn.Tanh, Abs, GroupSort, MaxMin, PixelUnshuffle, nn.PixelUnshuffle,
    nn.PixelShuffle,
)  # fmt: skip
def _isometry_or_contraction(module: nn.Module, shape: Shape) -> float:
    return max(1.0, getattr(module, "negative_slope", 1.0))


@register_rule(Normalize)
def _normalize(module: Normalize, shape: Shape) -> float:
    return _up(1 / float(module.std.double().min()))


@register_rule(Scale)
def _scale(module: Scale, shape: Shape) -> float:
    return abs(float(module.factor))


@register_rule(BCOPConv2d, PaddedConv2d, OrthogonalLinear, nn.Linear)
def _linear_map(module: Any, shape: Shape) -> float:
    weight: Tensor = module.weight
    if not bool(torch.isfinite(weight).all()):
        return math.inf
    # Rounding in the Gram matrix (an inner product of length `entries`) and in the symmetric eigenvalue solver:
    # each perturbs the eigenvalues by at most a small multiple of size * eps * trace, which the factor 8 covers.
    entries = weight[0].numel()
    values = singular_values(module, shape)
    largest = float(values.max())
    error = 8 * max(entries, weight.shape[0]) * torch.finfo(torch.float64).eps
    return _up(largest * (1 + error) + error * largest)


def _up(value: float) -> float:
    """The next float64 up: outward rounding of one operation."""
    return math.nextafter(value, math.inf)
