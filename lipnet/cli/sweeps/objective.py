"""The figure that a sweeper optimises: a key of ``results.json``, such as ``certified_accuracy.1.58``."""

import difflib
import re
import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from lipnet.cli.debug import apply_debug
from lipnet.errors import UserError
from lipnet.options.config import Config
from lipnet.options.registry import GROUPS, load_code
from lipnet.tasks.numbers import Numbers
from lipnet.tasks.results import numbers_of_any


def objective(results: dict[str, Any], key: str) -> float:
    """The number under a dotted key; names may hold dots themselves, as radii do. Without its radius, a mean over all.

    Raises:
        UserError: there is no such number; names those that there are.
    """
    found = dict(numbers_in(results))
    at_radii = [found[name] for name in _at_radii(key, found)]
    if at_radii:
        return statistics.mean(at_radii)
    if key not in found:
        raise UserError(f"objective={key}: no such number in results.json; there are {', '.join(found)}.")
    return found[key]


def numbers_in(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """Dotted key and value of every number in a ``results.json``."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from numbers_in(value, f"{path}{name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{path}{name}", float(value)


def _at_radii(key: str, names: Iterable[str]) -> list[str]:
    """The names of a key at every radius."""
    return [name for name in names if re.fullmatch(r"[0-9][0-9./e-]*", name.removeprefix(f"{key}."))]


def no_such_number(config: Config) -> str | None:
    """The problem of an objective that no run of this configuration can have, before any is run."""
    key, names = config.objective, possible(config)
    if key is None or key in names or _at_radii(key, names):
        return None
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    hint = f" did you mean {near[0]}?" if near else ""
    return f"objective={key}: no number that results.json will hold;{hint} there will be {_listed(config)}."


def _listed(config: Config) -> str:
    """The measures, those at every radius once."""
    found, radii = _of_task(apply_debug(config)), tuple(f".{radius}" for radius in config.eval_radii or ())
    listed: dict[str, None] = {}
    for name in [*found.measures, *_validated(found)]:
        end = next((radius for radius in radii if name.endswith(radius)), "")
        listed[name.removesuffix(end) + (".RADIUS" if end else "")] = None
    return ", ".join(listed) + (f", with RADIUS one of {', '.join(config.eval_radii)}" if radii else "")


def possible(config: Config) -> list[str]:
    """The keys of numbers that a run's ``results.json`` may hold, as its task declares; a few depend on what is found.

    Measures come first: the nearest name is looked for in this order.
    """
    config = apply_debug(config)
    found, task = _of_task(config), GROUPS["task"][config.task.name]
    return [*found.measures, *_validated(found), *found.beside, *numbers_of_any(task.trains, task.by_rounds)]


def _of_task(config: Config) -> Numbers:
    found: Numbers = load_code(GROUPS["task"][config.task.name].numbers)(config)
    return found


def _validated(found: Numbers) -> list[str]:
    return [f"validation.{name}" for name in found.validation]
