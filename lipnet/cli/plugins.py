"""Plugins on the command line: loaded before anything of it is read, so that everything knows what they register."""

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from lipnet.errors import UserError
from lipnet.options.defaults import content_of
from lipnet.options.plugins import load_plugins
from lipnet.options.registry import GROUPS

_stored: set[tuple[str, str]] = set()


def plugins_ready(overrides: Sequence[str] = ()) -> None:
    """Loads the plugins that are installed, named by the variable or among the overrides, and lets Hydra find theirs.

    Raises:
        UserError: one cannot be imported, or registers what it may not.
    """
    typed = [text for text in overrides if text.lstrip("+").partition("=")[0] == "plugins"]
    names = _names(typed[-1]) if typed else []
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        if key == "model.build" and ":" in value:
            names += [part.strip("'\"").partition(":")[0] for part in value.split(",")]
    load_plugins(dict.fromkeys(names))
    store = ConfigStore.instance()
    for group, options in GROUPS.items():
        for option in options.values():
            if option.plugin and (group, option.name) not in _stored:
                store.store(group=group, name=option.name, node=content_of(option), package=group)
                _stored.add((group, option.name))


def _names(override: str) -> list[str]:
    """The modules of ``plugins=[first,second]``."""
    try:
        value: Any = OverridesParser.create().parse_override(override).value()
    except (HydraException, ValueError):
        value = None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise UserError(f"{override}: not a list of modules; write plugins=[my_module].")
    return value
