"""Upper bounds on Lipschitz constants, composed over modules. A module without a rule is an error, never a silent 1."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.spectrum import LINEAR_LAYERS, Shape, linear_operator, small_gram
from lipnet.layers import (
    Abs,
    Cones,
    GroupSort,
    MaxMin,
    Normalize,
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
        if ancestor is nn.Sequential and type(module).forward is nn.Sequential.forward:
            return _sequential(module, shape, name)
    raise TypeError(
        f"no Lipschitz rule for {name} ({type(module).__name__}); compose the network of modules that have one, "
        "or give it one with lipnet.certify.register_rule"
    )


def _sequential(module: nn.Module, shape: Shape, name: str) -> float:
    bound = 1.0
    for child_name, child in module._modules.items():  # named_children() leaves out a module's second use
        assert child is not None
        bound = _up(bound * _bound(child, shape, f"{name}.{child_name}"))
        shape = output_shape(child, shape)
    return bound


def output_shape(module: nn.Module, input_shape: Shape) -> Shape:
    """The shape of the module's output, without batch axis."""
    example = next((tensor for tensor in (*module.parameters(), *module.buffers())), torch.zeros(()))
    with torch.no_grad():
        return tuple(module(torch.zeros(1, *input_shape, dtype=example.dtype, device=example.device)).shape[1:])


@register_rule(
    nn.Identity, nn.Flatten, nn.ReLU, nn.LeakyReLU, nn.Tanh, Abs, Cones, GroupSort, MaxMin, PixelUnshuffle,
    nn.PixelUnshuffle, nn.PixelShuffle, nn.ZeroPad2d,
)  # fmt: skip
def _isometry_or_contraction(module: nn.Module, shape: Shape) -> float:
    return max(1.0, abs(getattr(module, "negative_slope", 1.0)))


@register_rule(Normalize)
def _normalize(module: Normalize, shape: Shape) -> float:
    return _up(1 / float(module.std.double().min()))


@register_rule(Scale)
def _scale(module: Scale, shape: Shape) -> float:
    return abs(float(module.factor))


@register_rule(nn.Upsample)
def _nearest(module: nn.Upsample, shape: Shape) -> float:
    """The root of how often the most repeated pixel is repeated: the copies of different pixels are orthogonal."""
    if module.mode != "nearest":
        raise TypeError(f"no Lipschitz rule for nn.Upsample(mode={module.mode!r}), only for mode='nearest'")
    pixels = torch.arange(math.prod(shape[1:]), dtype=torch.float64).view(1, 1, *shape[1:])
    copies = torch.bincount(module(pixels).flatten().long())
    return _up(math.sqrt(int(copies.max())))


@register_rule(*LINEAR_LAYERS)
def _linear_map(module: Any, shape: Shape) -> float:
    weight: Tensor = module.weight
    if not bool(torch.isfinite(weight).all()):
        return math.inf
    gram = small_gram(linear_operator(module, shape))
    # An inner product of n terms errs by at most n * eps * the product of norms, and the norm of the matrix of these
    # errors is at most their trace norm; the eigenvalue solver's own error is smaller. The factor 8 covers both.
    terms = max(weight[0].numel(), weight.shape[0])
    trace = float(gram.diagonal(dim1=-2, dim2=-1).real.sum(-1).max())
    error = 8 * terms * torch.finfo(torch.float64).eps * trace
    return _up(math.sqrt(_up(_largest_eigenvalue(gram) + error)))


def _largest_eigenvalue(gram: Tensor) -> float:
    """An upper bound on the largest eigenvalue of Hermitian ``(..., n, n)``, tight to 1e-6 near the identity.

    Large matrices near the identity (wide orthogonal layers) are spared the eigenvalue decomposition: with
    ``E = G - I`` it is at most ``1 + |E|_2``, and ``|E|_2 <= |E^8|_F^(1/8)`` takes three products.
    """
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype)
    deviation = gram - identity
    size = float(torch.linalg.matrix_norm(deviation).max())
    if gram.shape[-1] < 256 or not 0 < size < 1e-3:
        return float(torch.linalg.eigvalsh(gram).max())
    power = deviation / size
    for _ in range(3):
        power = power @ power
    # Rounding adds at most a few n * eps to the unit-norm powers, before the root.
    slack = 64 * gram.shape[-1] * torch.finfo(torch.float64).eps
    return 1 + size * (float(torch.linalg.matrix_norm(power).max()) + slack) ** 0.125


def _up(value: float) -> float:
    """The next float64 up: outward rounding of one operation."""
    return math.nextafter(value, math.inf)
