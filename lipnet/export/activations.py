"""Activations in an export, derived from the registry: an option's class, its keys as arguments, and its own source.

One that learns of each channel keeps their number as ``channels``. The class may say by ``exported_as`` that another
one, built from the same keys, computes the same in torch alone.
"""

import builtins
import dataclasses
import inspect
import math
import symtable
import textwrap
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.errors import UserError
from lipnet.export.part import Part
from lipnet.options.checks import Check, whole
from lipnet.options.registry import GROUPS, Option, taken

# What an exported network's code imports, by the names that it has there.
IMPORTED = {"torch": torch, "Tensor": Tensor, "nn": nn, "functional": functional, "math": math}


def activation_part(kind: str) -> Part | None:
    """The part of a registered activation by its class' name; ``None`` where no option has such a class."""
    return next((_part(option, made) for option, made in _classes() if made.__name__ == kind), None)


def activation_names() -> list[str]:
    """The class' name of every registered activation."""
    return [made.__name__ for _, made in _classes()]


def _classes() -> Iterator[tuple[Option, type[nn.Module]]]:
    for option in GROUPS["activation"].values():
        made = option.load()
        if isinstance(made, type) and issubclass(made, nn.Module):  # what a function makes has no name to be found by
            yield option, made


def _part(option: Option, made: type[nn.Module]) -> Part:
    checks: dict[str, Check] = {"channels": whole(1, at_most=2**20)} if "channels" in taken(made, channels=1) else {}
    for field in dataclasses.fields(option.keys):
        if field.name != "name":
            checks[field.name] = field.metadata["check"]

    def describe(layer: Any) -> dict[str, Any]:
        return {key: getattr(layer, key) for key in checks}

    arguments = ", ".join(f"{key}={{{key}!r}}" for key in checks)
    if getattr(nn, made.__name__, None) is made:
        return Part(made, checks, describe, f"nn.{made.__name__}({arguments})")
    carried: type[nn.Module] = vars(made).get("exported_as", made)
    return Part(made, checks, describe, f"{carried.__name__}({arguments})", carried)


def own_source(kind: type[nn.Module]) -> str:
    """The source of a class, which needs torch and ``math`` alone.

    Raises:
        UserError: it uses names that an exported network's code does not have.
    """
    try:
        source = textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):
        raise UserError(f"{kind.__name__} cannot be exported: its source is in no file.") from None
    known, meant = vars(builtins) | IMPORTED, vars(builtins) | vars(inspect.getmodule(kind))
    strange = sorted(name for name in used_names(source) if meant.get(name, kind) is not known.get(name))
    if strange:
        raise UserError(
            f"{kind.__name__} cannot be exported: it uses {', '.join(strange)}, and an exported network's code has "
            f"{', '.join(IMPORTED)} alone; write it with these, or name a class that is by exported_as."
        )
    return source


def used_names(source: str) -> set[str]:
    """The names that a piece of code reads from around it."""
    table = symtable.symtable(source, "class", "exec")
    return set(_read(table)) - {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()}


def _read(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_referenced() and symbol.is_global():
            yield symbol.get_name()
    for inner in table.get_children():
        yield from _read(inner)
