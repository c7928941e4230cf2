"""The figure that a sweeper optimises: a key of ``results.json``, such as ``certified_accuracy.1.58``."""

from collections.abc import Iterator
from typing import Any

from lipnet.errors import UserError


def objective(results: dict[str, Any], key: str) -> float:
    """The number under a dotted key; names may hold dots themselves, as radii do.

    Raises:
        UserError: there is no such number; names those that there are.
    """
    found = dict(_numbers(results))
    if key not in found:
        raise UserError(f"objective={key}: no such number in results.json; there are {', '.join(found)}.")
    return found[key]


def _numbers(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{path}{name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{path}{name}", float(value)
