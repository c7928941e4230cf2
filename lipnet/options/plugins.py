"""Modules of a user's own that register options: named on the command line, by a variable, or installed.

Nothing else is imported: a run directory remembers the plugins that it used by name, and the user names them again.
"""

import dataclasses
import difflib
import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lipnet.errors import UserError, reason_of
from lipnet.options.defaults import content_of
from lipnet.options.messages import show
from lipnet.options.models import OwnModule
from lipnet.options.option import Named
from lipnet.options.registry import GROUPS, Option, loading
from lipnet.options.tasks import ATTACKS

VARIABLE = "LIPNET_PLUGINS"  # names with commas between them
ENTRY_POINTS = "lipnet.plugins"
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_LOADED: dict[str, str] = {}  # plugin -> how it was named


def load_plugins(typed: Iterable[str] = ()) -> None:
    """Imports the plugins of installed packages, those that the variable names, and those typed; each once.

    Processes that this one starts find all that were named in the variable.

    Raises:
        UserError: one cannot be imported, or registers what it may not.
    """
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        package = entry.dist.name if entry.dist is not None else "?"
        _load(entry.value.partition(":")[0].strip(), f"the installed package {package}")
    named = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    for name in named:
        _load(name, f"{VARIABLE}={','.join(named)}")
    typed = list(typed)
    for name in typed:
        _load(name, f"plugins=[{','.join(typed)}]")
    if named or typed:
        os.environ[VARIABLE] = ",".join(dict.fromkeys([*named, *typed]))


def loaded_plugins() -> dict[str, str]:
    """Every plugin that is there, with how it was named; of one that a program imported by itself, ``import``."""
    owners = [option.plugin for options in GROUPS.values() for option in options.values()]
    owners += [method.plugin for method in ATTACKS.values()]
    return dict.fromkeys(filter(None, owners), "import") | _LOADED


def named_plugins(config: Any) -> list[str]:
    """The modules that a configuration names: its plugins, and where its network's code is."""
    names = [str(name) for name in config.get("plugins") or ()]
    build = str((config.get("model") or {}).get("build") or "")
    return list(dict.fromkeys([*names, *([build.partition(":")[0]] if build else [])]))


def used_plugins(config: Any) -> list[str]:
    """The plugins that a checked configuration names, and those that registered what it chooses."""
    owners = [GROUPS[group][getattr(config, group).name].plugin for group in GROUPS]
    owners += [ATTACKS[name].plugin for name in config.attack.names]
    if isinstance(config.model, OwnModule):
        owners.append(config.model.module)
    return list(dict.fromkeys([*config.plugins, *filter(None, owners)]))


def missing_plugins(recorded: Mapping[str, Any]) -> Iterator[str]:
    """A problem if a recorded configuration was made with plugins that are not there: its options are not known."""
    names = recorded.get("plugins")
    names = names if isinstance(names, list) else []
    there = loaded_plugins()
    missing = [str(name) for name in names if name not in there]
    if missing:
        listed = ",".join(missing)
        yield (
            f"plugins=[{listed}]: this run used {'it' if len(missing) == 1 else 'them'}, and what a run directory "
            f"names is never imported by itself; add plugins=[{listed}] to the command, or set {VARIABLE}={listed}."
        )


def _load(name: str, named: str) -> None:
    if name in _LOADED:
        return
    if not _MODULE.fullmatch(name) or name.endswith(".py"):
        module = name.removesuffix(".py").strip("/.").replace("/", ".")
        hint = f"; write plugins=[{module}]" if _MODULE.fullmatch(module) else ""
        raise UserError(f"{named}: {name!r} is not the name of a module{hint}.")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # the last place: a file there hides no installed module
    groups, attacks = {group: dict(options) for group, options in GROUPS.items()}, dict(ATTACKS)
    try:
        with loading(name):
            importlib.invalidate_caches()
            importlib.import_module(name)
        for group, options in GROUPS.items():
            for option in options.values():
                if option.name not in groups[group]:
                    _check(option)
    except (Exception, SystemExit) as error:
        for group, options in groups.items():  # nothing of it stays
            GROUPS[group].clear()
            GROUPS[group].update(options)
        ATTACKS.clear()
        ATTACKS.update(attacks)
        raise UserError(f"{named}: {_reason(name, error)}.") from error
    _LOADED[name] = named


def _reason(name: str, error: BaseException) -> str:
    """Why a plugin cannot be used."""
    if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
        folders = [path.parent for path in Path().glob("*/__init__.py")]
        files = [path.stem for path in (*Path().glob("*.py"), *folders)]
        close = difflib.get_close_matches(name, files, n=1, cutoff=0.5)
        hint = f"{close[0]} is there" if close else "its folder must be the current one, or in PYTHONPATH"
        return f"there is no module {name} in {os.getcwd()} or among the installed ones; {hint}"
    text = " ".join(str(error).split())[:300]
    place = error.__traceback__
    where = ""
    while place is not None:
        file = place.tb_frame.f_code.co_filename
        if not file.startswith("<frozen") and Path(file).parent != Path(__file__).parent:
            where = f" ({file}, line {place.tb_lineno})"
        place = place.tb_next
    return f"{name} cannot be imported: {type(error).__name__}: {text}{where}"


def _check(option: Option) -> None:
    """Whether the registration says all that a file of ``conf/`` would.

    Raises:
        ValueError: a key has no default, or one that its own check refuses.
    """
    chosen = f"{option.group}={option.name}"
    if option.like and option.like not in GROUPS[option.group]:
        raise ValueError(f"{chosen}: like={option.like!r} is no option of {option.group}")
    try:
        content = content_of(option)
        OmegaConf.create(content)
    except (OSError, yaml.YAMLError, OmegaConfBaseException, TypeError) as error:
        raise ValueError(f"{chosen}: its defaults cannot be read ({reason_of(error)})") from None
    fields = {field.name: field for field in _fields(option)}
    for key in content:
        if key not in fields and key != "defaults":
            raise ValueError(f"{chosen}: {option.file} has {key}, which is none of its keys, {', '.join(fields)}")
    for name, field in fields.items():
        if name not in content:
            raise ValueError(
                f"{chosen}: {name} has no default; write {name} = checked(CHECK, DEFAULT), or name by like= an option "
                "that has one"
            )
        if "check" not in field.metadata:
            raise ValueError(f"{chosen}: {name} has no check; write {name} = checked(CHECK, DEFAULT)")
        if "${" in str(content[name]):
            continue
        try:
            field.metadata["check"](content[name])
        except ValueError as error:
            raise ValueError(f"{chosen}: the default {name}={show(content[name])}: {error}") from None


def _fields(option: Option) -> Iterable[Any]:
    if not issubclass(option.keys, Named) or "__dataclass_fields__" not in vars(option.keys):
        chosen, kind = f"{option.group}={option.name}", option.keys.__name__
        raise ValueError(
            f"{chosen}: its keys, {kind}, are no dataclass that derives from Named; write @dataclass(frozen=True) and "
            f"class {kind}(Named)"
        )
    return dataclasses.fields(option.keys)
