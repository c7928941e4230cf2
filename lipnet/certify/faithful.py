"""Whether a module computes what its class does.

Rules and conversions speak of classes, networks are made of instances. What one call passes through is looked at:
hooks, and every name that the class' ``forward`` uses, on the classes that derive from it, on the instance itself, and
as it was when the rule was registered.
"""

import inspect
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize

# How a call reaches ``forward``, and what Python calls without naming it in the code: for ``for``, ``len``, ``[]`` and
# missing attributes.
_CALL = frozenset({"__call__", "_wrapped_call_impl", "_call_impl", "_slow_forward", "forward"})
_IMPLICIT = frozenset(
    {"__getattr__", "__getattribute__", "__iter__", "__next__", "__len__", "__getitem__", "__bool__", "__eq__",
     "__hash__", "__torch_function__"}
)  # fmt: skip
_READ = frozenset({"weight", "bias"})  # by rules and conversions, of layers whose ``forward`` asks for another name
_PLAIN_TENSORS = (Tensor, nn.Parameter)
_NOT_COMPILED = torch._disable_dynamo(_READ.copy).__code__

# kind -> (where a name is defined, as a mapping and in words; the name; what it was)
Original = tuple[Mapping[str, Any], str, str, Any]
_originals: WeakKeyDictionary[type[nn.Module], list[Original]] = WeakKeyDictionary()
_paths: WeakKeyDictionary[type[nn.Module], frozenset[str]] = WeakKeyDictionary()


def unfaithful(module: nn.Module, kind: type[nn.Module], parts: bool = True) -> str | None:
    """Why ``module`` may compute something else than instances of its ancestor ``kind`` do; else ``None``.

    Methods named in the class attribute ``builders`` of ``kind`` may be overridden: they make a weight, which is read.

    Args:
        parts: whether the modules inside are looked at too; without, somebody else does.
    """
    for part in module.modules() if parts else [module]:
        reason = hooked(part) or _replaced(part)
        if reason:
            return reason if part is module else f"its part {type(part).__name__}: {reason}"
    found = _overridden(module, kind) or _patched(kind)
    return found or (unreadable(module) if parts else None)


def unreadable(module: nn.Module, parts: bool = True) -> str | None:
    """Why the numbers that are read of the module may not be those that it computes with."""
    for part in module.modules() if parts else [module]:
        reason = _parametrized(part) or _strange_tensors(part)
        if reason:
            return reason
    return None


def hooked(module: nn.Module) -> str | None:
    """Why a call of the module may do more than its ``forward``: hooks, its own or those of all modules."""
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        return "a hook on all modules may change inputs and outputs; remove it first"
    hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    if any(type(hook).__module__.startswith("torch.nn.utils") for hook in hooks):
        return (
            "a hook of torch.nn.utils recomputes its weight before each forward pass; use "
            "torch.nn.utils.parametrizations, or remove the hook"
        )
    if hooks:
        return "a forward hook may change its inputs and outputs; remove the hook first"
    if module._compiled_call_impl is not None:
        return "its call was replaced, as module.compile() does; use the module as it was before"
    return None


def remember(kind: type[nn.Module]) -> None:
    """Notes what a call of ``kind`` passes through now, so that a later replacement is noticed."""
    found: list[Original] = []
    for name in sorted(_path(kind)):
        for owner in kind.__mro__:  # what a class does not define now, it may define later
            found.append((vars(owner), owner.__name__, name, vars(owner).get(name)))
    todo: list[FunctionType] = list(_functions(kind))
    seen: set[FunctionType] = set()
    while todo:
        function = todo.pop()
        if function in seen:
            continue
        seen.add(function)
        for original in _called(function):
            found.append(original)
            inner = _function(original[3])  # what a function calls may be replaced as well as the function itself
            if inner is not None and inner.__module__.partition(".")[0] == "lipnet":
                todo.append(inner)
    _originals[kind] = found


def _called(function: FunctionType) -> Iterator[Original]:
    """The functions that a function calls by name, from its own file or as ``functional.relu``."""
    names, known = _names(function.__code__), function.__globals__
    for name in sorted(names & known.keys()):
        value = known[name]
        if not isinstance(value, ModuleType):
            if callable(value):
                yield known, function.__module__, name, value
        elif value.__name__ == "torch" or value.__name__.startswith("torch.nn"):
            for inner in sorted(names & vars(value).keys()):
                if callable(vars(value)[inner]):
                    yield vars(value), value.__name__, inner, vars(value)[inner]


def _patched(kind: type[nn.Module]) -> str | None:
    if kind not in _originals:
        remember(kind)
    for place, owner, name, value in _originals[kind]:
        if _uncompiled(place.get(name)) is not _uncompiled(value):
            return f"`{name}` of {owner} was replaced; put the original back"
    return None


def _uncompiled(value: Any) -> Any:
    """What is behind the wrapper in which torch's compiler puts ``torch.manual_seed`` when it is imported."""
    if getattr(value, "__code__", None) is not _NOT_COMPILED:
        return value
    return dict(zip(_NOT_COMPILED.co_freevars, value.__closure__, strict=True))["fn"].cell_contents


def _overridden(module: nn.Module, kind: type[nn.Module]) -> str | None:
    """A name on the way that a class between the module's own and ``kind`` defines anew."""
    if not isinstance(module, kind):
        return f"it is no {kind.__name__}"
    path = _path(kind)
    for derived in type(module).__mro__:
        if derived is kind:
            return None
        read: set[str] = set()  # names whose values are read, wherever they come from
        if derived.__module__ == parametrize.__name__:
            read = set(_parametrized_names(module))
        for name in vars(derived):
            if name in path and name not in read:
                return (
                    f"{derived.__name__} overrides `{name}` of {kind.__name__}; give it a rule of its own with "
                    "lipnet.certify.register_rule"
                )
    return None


def _replaced(module: nn.Module) -> str | None:
    """A method that the instance hides behind an attribute of its own."""
    for name in _path(type(module)) & vars(module).keys():
        hidden = inspect.getattr_static(type(module), name, None)
        if callable(hidden) or inspect.isdatadescriptor(hidden):
            return f"its `{name}` was replaced; put the original back (del module.{name})"
    return None


def _parametrized(module: nn.Module) -> str | None:
    """Parametrizations are read through, where they give the same weight at every call."""
    names = _parametrized_names(module)
    if names and any(part.training for part in module.modules()):
        return "its parametrization may change with each training step; call .eval() first"
    for name in names:
        first = getattr(module, name)
        with torch.enable_grad():
            again = getattr(module, name)
        if not torch.equal(first, again) or not torch.equal(first, getattr(module, name)):
            return f"its parametrization gives another `{name}` at each call; register a deterministic one"
    return None


def _parametrized_names(module: nn.Module) -> list[str]:
    parametrizations = module._modules.get("parametrizations")
    return list(parametrizations) if isinstance(parametrizations, nn.ModuleDict) else []


def _strange_tensors(module: nn.Module) -> str | None:
    for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
        if type(tensor) not in _PLAIN_TENSORS:
            return f"its `{name}` is a {type(tensor).__name__}, which may compute as it likes; use plain tensors"
        if tensor.is_complex():
            return f"its `{name}` is complex, and rules are proved for real numbers"
    return None


def _path(kind: type[nn.Module]) -> frozenset[str]:
    """Every name that a call of ``kind`` uses, through its own methods and properties, whatever it belongs to."""
    if kind not in _paths:
        builders: frozenset[str] = getattr(kind, "builders", frozenset())
        names: set[str] = set()
        todo = [*_CALL, *_IMPLICIT, *_READ]
        while todo:
            name = todo.pop()
            if name in names or name in builders:
                continue
            names.add(name)
            for function in _definitions(kind, name):
                todo += _names(function.__code__)
        _paths[kind] = frozenset(names)
    return _paths[kind]


def _functions(kind: type[nn.Module]) -> Iterator[FunctionType]:
    for name in sorted(_path(kind)):
        yield from _definitions(kind, name)


def _definitions(kind: type[nn.Module], name: str) -> Iterator[FunctionType]:
    """The functions of that name in the class and its ancestors; of ``nn.Module`` only those of a call."""
    for owner in kind.__mro__:
        function = _function(vars(owner).get(name))
        if function is not None and (owner is not nn.Module or name in _CALL):
            yield function


def _function(value: Any) -> FunctionType | None:
    """The Python function behind a method, a property or a decorator."""
    value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    value = inspect.unwrap(value) if callable(value) else value
    return value if isinstance(value, FunctionType) else None


def _names(code: CodeType) -> set[str]:
    """The global names and attributes in a function's code, inner functions included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names
