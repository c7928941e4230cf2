"""Upper bounds on Lipschitz constants, composed over modules. A module without a rule is an error, never a silent 1."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from lipnet.certify.faithful import remember, unfaithful
from lipnet.certify.probe import MISFITS, misfit, refute
from lipnet.layers.orthogonal import OrthogonalizationError

Shape = tuple[int, ...]
Rule = Callable[[Any, Shape], float]
BoundOfPart = Callable[[str, nn.Module, Shape], float]  # of a part's name, the part and the shape of its inputs
Composition = Callable[[Any, Shape, BoundOfPart], float]
_RULES: dict[type[nn.Module], Rule] = {}
_COMPOSE: dict[type[nn.Module], Composition] = {}
_KNOWN: dict[tuple[nn.Module, Shape], float] | None = None  # by ``measured_once``


class Refusal(Exception):
    """A rule's reason why a module has no bound, and what to use instead; ``lipschitz_bound`` adds the name."""


def image_size(shape: Shape, axes: int) -> Shape:
    """The last ``axes`` numbers of ``(channels, ...)``: torch takes inputs without channels for ones without a batch.

    Raises:
        Refusal: the shape has other axes than that.
    """
    if len(shape) != 1 + axes:
        names = ("length",) if axes == 1 else ("depth", "height", "width")[-axes:]
        raise Refusal(f"it takes inputs of shape (channels, {', '.join(names)}) for a rule, got {shape}")
    return shape[1:]


def lipschitz_bound(module: nn.Module, input_shape: Shape) -> float:
    """An upper bound on the L2 Lipschitz constant of ``module`` on inputs of ``input_shape`` (without batch axis).

    Of the function in exact arithmetic with the effective weights as they are stored, in evaluation. Computed in
    float64 and rounded outward, errors of the arithmetic included; of eigenvalue solvers only the result is used, and
    checked. It holds for the stated shape. Sequences multiply, ``Residual`` adds, ``Concat`` adds squares. Infinite
    where a number that the module holds is not finite.

    Raises:
        TypeError: a module has no rule, no bound as it is set, or something makes it compute another function than its
            class does (a hook, an overridden method, ...); the message names it and says what to use.
            ``register_rule`` adds a rule.
    """
    with torch.no_grad():
        return _bound(module, tuple(input_shape), type(module).__name__)


def register_rule(*module_types: type[nn.Module]) -> Callable[[Rule], Rule]:
    """Registers ``rule(module, input_shape) -> upper bound`` for module types, and subclasses that compute as they do.

    The rule promises a bound on inputs of that shape, in evaluation, rounded up. A subclass that overrides what a call
    passes through has no rule, unless the method's name is in the class attribute ``builders`` of the registered type.

    >>> @register_rule(MyPermutation)
    ... def _(module, input_shape):
    ...     return 1.0
    """

    def register(rule: Rule) -> Rule:
        for kind in module_types:
            _RULES[kind] = rule
            remember(kind)
        return rule

    return register


def register_composition(kind: type[nn.Module]) -> Callable[[Composition], Composition]:
    """Registers how the bounds of its parts make the bound of a module that does nothing but call them."""

    def register(compose: Composition) -> Composition:
        _COMPOSE[kind] = compose
        remember(kind)
        return compose

    return register


def _bound(module: nn.Module, shape: Shape, name: str) -> float:
    kind = nearest_type(module, (*_RULES, *_COMPOSE))
    if kind is None:
        raise TypeError(
            f"no Lipschitz rule for {name} ({type(module).__name__}); compose the network of modules that have "
            "one, or give it one with lipnet.certify.register_rule"
        )
    try:
        if kind in _COMPOSE:
            return _of_parts(module, shape, kind, name)
        if _KNOWN is None:
            return _of_rule(module, shape, kind)
        if (module, shape) not in _KNOWN:
            _KNOWN[module, shape] = _of_rule(module, shape, kind)
        return _KNOWN[module, shape]
    except Refusal as reason:
        raise TypeError(f"no Lipschitz bound for {name} ({type(module).__name__}): {reason}") from None


def _of_parts(module: nn.Module, shape: Shape, kind: Any, name: str) -> float:
    """What the bounds of a composition's parts make."""
    _refuse(unfaithful(module, kind, parts=False))
    try:
        return _COMPOSE[kind](module, shape, lambda part, inner, size: _bound(inner, size, f"{name}.{part}"))
    except (TypeError, OrthogonalizationError):  # of a part, which the message names
        raise
    except MISFITS:
        _refuse(misfit(module, shape))
        raise


def _of_rule(module: nn.Module, shape: Shape, kind: Any) -> float:
    """The rule's bound, where the module computes what the rule is about."""
    _refuse(unfaithful(module, kind))
    try:
        bound = _RULES[kind](module, shape)
    except (Refusal, OrthogonalizationError):
        raise
    except MISFITS:
        _refuse(misfit(module, shape))
        raise
    if math.isnan(bound) or not _is_finite(module):
        return math.inf
    _refuse(refute(module, shape, bound))
    return bound


def _refuse(reason: str | None) -> None:
    if reason is not None:
        raise Refusal(reason)


def _is_finite(module: nn.Module) -> bool:
    """Whether all that it computes with is; nothing is promised of NaN and infinity."""
    numbers = [value for part in module.modules() for value in vars(part).values() if isinstance(value, float)]
    if any(math.isnan(number) for number in numbers):
        return False
    tensors = [*module.parameters(), *module.buffers()]
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor.is_floating_point())


@contextlib.contextmanager
def measured_once() -> Iterator[None]:
    """Inside, each module is measured once for an input shape, however many bounds it is part of; change no weights."""
    global _KNOWN
    before, _KNOWN = _KNOWN, {} if _KNOWN is None else _KNOWN
    try:
        yield
    finally:
        _KNOWN = before


def nearest_type(module: nn.Module, types: Any) -> type[nn.Module] | None:
    """The nearest ancestor of the module's type among ``types``; ``unfaithful`` says whether it computes as that."""
    return next((ancestor for ancestor in type(module).__mro__ if ancestor in types), None)


def composition(module: nn.Module) -> type[nn.Module] | None:
    """``nn.Sequential``, ``Residual`` or ``Concat``, if it is bounded as that; ``None`` if by a rule of its own."""
    kind = nearest_type(module, (*_RULES, *_COMPOSE))
    return kind if kind in _COMPOSE else None


def output_shape(module: nn.Module, input_shape: Shape) -> Shape:
    """The shape of the module's output, without batch axis."""
    tensors = (tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point())
    example = next(tensors, torch.zeros(()))
    with torch.no_grad():
        return tuple(module(torch.zeros(1, *input_shape, dtype=example.dtype, device=example.device)).shape[1:])
