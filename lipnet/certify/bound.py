"""Upper bounds on Lipschitz constants, composed over modules. A module without a rule is an error, never a silent 1."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from lipnet.certify.norm import up
from lipnet.layers import Concat, Residual

Shape = tuple[int, ...]
Rule = Callable[[Any, Shape], float]
_RULES: dict[type[nn.Module], Rule] = {}
_KNOWN: dict[tuple[nn.Module, Shape], float] | None = None  # by ``measured_once``


class Refusal(Exception):
    """A rule's reason why a module has no bound, and what to use instead; ``lipschitz_bound`` adds the name."""


def lipschitz_bound(module: nn.Module, input_shape: Shape) -> float:
    """An upper bound on the L2 Lipschitz constant of ``module`` on inputs of ``input_shape`` (without batch axis).

    Of the function in exact arithmetic with the effective weights as they are stored, in evaluation. Computed in
    float64 and rounded outward, errors of the arithmetic included; of eigenvalue solvers only the result is used, and
    checked. It holds for the stated shape. Sequences multiply, ``Residual`` adds, ``Concat`` adds squares.

    Raises:
        TypeError: a module has no rule, or no bound as it is set; the message names it and says what to use.
            ``register_rule`` adds a rule.
    """
    with torch.no_grad():
        return _bound(module, tuple(input_shape), type(module).__name__)


def register_rule(*module_types: type[nn.Module]) -> Callable[[Rule], Rule]:
    """Registers ``rule(module, input_shape) -> upper bound`` for module types, and subclasses with their ``forward``.

    The rule promises a bound on inputs of that shape, in evaluation, rounded up.

    >>> @register_rule(MyPermutation)
    ... def _(module, input_shape):
    ...     return 1.0
    """

    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(module_types, rule))
        return rule

    return register


def _bound(module: nn.Module, shape: Shape, name: str) -> float:
    kind = find_type(module, _RULES)
    if kind is None:
        kind = find_type(module, _COMPOSE)
        if kind is None:
            raise TypeError(
                f"no Lipschitz rule for {name} ({type(module).__name__}); compose the network of modules that have "
                "one, or give it one with lipnet.certify.register_rule"
            )
        return _COMPOSE[kind](module, shape, name)
    try:
        _refuse_changing_weights(module)
        return _apply(_RULES[kind], module, shape)
    except Refusal as reason:
        raise TypeError(f"no Lipschitz bound for {name} ({type(module).__name__}): {reason}") from None


def _apply(rule: Rule, module: nn.Module, shape: Shape) -> float:
    if _KNOWN is None:
        return rule(module, shape)
    if (module, shape) not in _KNOWN:
        _KNOWN[module, shape] = rule(module, shape)
    return _KNOWN[module, shape]


@contextlib.contextmanager
def measured_once() -> Iterator[None]:
    """Inside, each module is measured once for an input shape, however many bounds it is part of; change no weights."""
    global _KNOWN
    before, _KNOWN = _KNOWN, {} if _KNOWN is None else _KNOWN
    try:
        yield
    finally:
        _KNOWN = before


def find_type(module: nn.Module, types: Any) -> type[nn.Module] | None:
    """The nearest ancestor of the module's type among ``types``; none if the module has another ``forward`` than it."""
    for ancestor in type(module).__mro__:
        if ancestor in types:
            same = type(module).forward is ancestor.forward and "forward" not in vars(module)  # type: ignore[attr-defined]
            return ancestor if same else None
    return None


def _refuse_changing_weights(module: nn.Module) -> None:
    """Weights that a forward pass recomputes are not those that a rule reads."""
    parts = list(module.modules())
    hooks = [hook for part in parts for hook in part._forward_pre_hooks.values()]
    if any(type(hook).__module__.startswith("torch.nn.utils") for hook in hooks):
        raise Refusal(
            "a hook of torch.nn.utils recomputes its weight before each forward pass; use "
            "torch.nn.utils.parametrizations, or remove the hook"
        )
    if any(part.training and hasattr(part, "parametrizations") for part in parts):
        raise Refusal("its parametrization may change with each training step; call .eval() first")


def _sequence(module: nn.Module, shape: Shape, name: str) -> float:
    bound = 1.0
    for child_name, child in module._modules.items():  # named_children() leaves out a module's second use
        assert child is not None
        bound = up(bound * _bound(child, shape, f"{name}.{child_name}"))
        shape = output_shape(child, shape)
    return bound


def _sum(module: Residual, shape: Shape, name: str) -> float:
    branch = _bound(module.branch, shape, f"{name}.branch")
    return up(branch + _bound(module.shortcut, shape, f"{name}.shortcut"))


def _concatenation(module: Concat, shape: Shape, name: str) -> float:
    bounds = [_bound(branch, shape, f"{name}.branches.{index}") for index, branch in enumerate(module.branches)]
    return up(up(math.hypot(*bounds)))  # hypot errs by less than an ulp


_COMPOSE: dict[type[nn.Module], Callable[[Any, Shape, str], float]] = {
    nn.Sequential: _sequence,
    Residual: _sum,
    Concat: _concatenation,
}


def output_shape(module: nn.Module, input_shape: Shape) -> Shape:
    """The shape of the module's output, without batch axis."""
    tensors = (tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point())
    example = next(tensors, torch.zeros(()))
    with torch.no_grad():
        return tuple(module(torch.zeros(1, *input_shape, dtype=example.dtype, device=example.device)).shape[1:])
