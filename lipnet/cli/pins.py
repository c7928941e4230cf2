"""Overrides that keep a run as it recorded itself where ``conf/`` has come to say something else. Imports no torch.

A command that starts from a run composes its overrides again, with today's defaults. What was typed stays; what was
left to defaults must be the run's own value, not that of a later version.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lipnet.errors import UserError
from lipnet.options.defaults import as_text, completed, leaves, resolved
from lipnet.options.registry import GROUPS
from lipnet.options.trust import read_configuration
from lipnet.runs.commands import quoted
from lipnet.runs.identity import NO_RESULT_KEYS

_NOT_PINNED = ("run", "dataset.run", *NO_RESULT_KEYS)  # directories, and what changes no result
_PLAIN_INTERPOLATION = re.compile(r"\$\{[\w.]+\}")


def recorded_keys(directory: Path) -> dict[str, Any]:
    """Dotted key -> value of a run's ``.hydra/config.yaml``; keys that came later have their defaults.

    Empty where there is none to read: the run's overrides are all that is known.
    """
    try:
        content = read_configuration(directory / ".hydra" / "config.yaml")
    except UserError:
        return {}
    return dict(leaves(completed(content))) if content else {}


def option_pins(recorded: Mapping[str, Any], composed: Mapping[str, Any], typed: Collection[str]) -> list[str]:
    """``group=option`` of every group that nobody chose and whose default option is another one today.

    Args:
        recorded: as ``recorded_keys`` gives it.
        composed: dotted key -> value, of the run's overrides with today's defaults.
        typed: the keys of the run's overrides.
    """
    pins = []
    for group, options in GROUPS.items():
        option = recorded.get(f"{group}.name")
        if group not in (*typed, "task") and option in options and option != composed.get(f"{group}.name"):
            pins.append(f"{group}={option}")
    return pins


def key_pins(recorded: Mapping[str, Any], composed: Mapping[str, Any], typed: Collection[str]) -> list[str]:
    """``key=value`` of every key that nobody set and whose default is another one today; arguments as above."""
    pins = []
    for key, today in composed.items():
        if key not in recorded or key in (*typed, *_NOT_PINNED) or key.endswith(".name"):
            continue
        value = recorded[key]
        if value != today and _text(value, recorded) != _text(today, composed):
            pins.append(f"{key}={_override(value, recorded)}")
    return pins


def _text(value: Any, flat: Mapping[str, Any]) -> str:
    return as_text(resolved(value, flat))


def _override(value: Any, flat: Mapping[str, Any]) -> str:
    """A value as Hydra reads it back; one that points at another key goes on doing so."""
    if isinstance(value, str) and _PLAIN_INTERPOLATION.fullmatch(value):
        return value
    value = resolved(value, flat)
    if isinstance(value, list):
        return f"[{','.join(_override(entry, flat) for entry in value)}]"
    return quoted(value) if isinstance(value, str) else as_text(value)
