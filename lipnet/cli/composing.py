"""Composing a configuration: all that touches what Hydra keeps to itself."""

import argparse
import contextlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.conf import HydraConf
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lipnet.cli import renamed
from lipnet.options.folder import config_dir
from lipnet.options.messages import show
from lipnet.options.registry import GROUPS

_NOT_CHOSEN = ("hydra", "usual", "with_conv")  # folders whose files Hydra takes by itself
_COMPOSED: dict[tuple[str, ...], DictConfig] = {}  # within one use of ``hydra_ready``
# Launchers and sweepers that are packages of their own, and the extra that brings them.
_PLUGINS = {"hydra/launcher/joblib": "joblib", "hydra/launcher/submitit": "submitit", "hydra/sweeper/optuna": "optuna"}

renamed.register()


def listed_groups() -> str:
    """Every group with its options, for ``--help``: Hydra's list, with long lines broken between names."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    listed = hydra.format_config_groups(lambda group: group.partition("/")[0] not in _NOT_CHOSEN)
    lines = (renamed.without_earlier_names(line) for line in listed.splitlines())
    return "\n".join(textwrap.fill(line, 110, subsequent_indent="  ") for line in lines)


def read_arguments(argv: list[str]) -> argparse.Namespace:
    """Hydra's own flags, and the overrides; ``SystemExit`` where they cannot be read."""
    arguments: argparse.Namespace = get_args_parser().parse_args(argv)
    return arguments


def given_config_dir(hydra_config: HydraConf) -> str | None:
    """The folder of the user's own configurations that a job was started with."""
    sources = hydra_config.runtime.config_sources
    return next((source.path for source in sources if source.provider == "command-line"), None)


def as_plain(composed: DictConfig) -> dict[str, Any]:
    """The program's own part, interpolations as they are written."""
    content: Any = OmegaConf.to_container(without_hydra(composed))
    return content


def resolved_content(composed: DictConfig) -> Any:
    """The program's own part, interpolations resolved where all of them can be."""
    plain = without_hydra(composed)
    try:
        return OmegaConf.to_container(plain, resolve=True)
    except OmegaConfBaseException:
        return OmegaConf.to_container(plain)


def shown_value(composed: DictConfig, key: str) -> str:
    """What a configuration has under a key, as one would type it."""
    if is_group(key):
        return str(chosen_option(composed, key))
    value = OmegaConf.select(composed, key)
    return show(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def chosen_option(composed: DictConfig, group: str) -> str | None:
    """The option that a group has; ``None`` where the name is no group's."""
    return show(composed.hydra.runtime.choices.get(group)) if is_group(group) else None


def is_group(key: str) -> bool:
    """Whether options are chosen under this name."""
    return key in (*GROUPS, "experiment", "sweep")


def try_composing(overrides: list[str], problems: list[str]) -> DictConfig | None:
    """The configuration with Hydra's own part; or ``None``, and in ``problems`` what Hydra says, in plainer words.

    A tenth of a second each time, so the same is composed once; nothing changes what is returned.
    """
    try:
        if tuple(overrides) not in _COMPOSED:
            _COMPOSED[tuple(overrides)] = compose("config", overrides=overrides, return_hydra_config=True)
        return _COMPOSED[tuple(overrides)]
    except (HydraException, ValueError) as error:
        reasons = [" ".join(str(part).split()) for part in (error, error.__cause__) if part is not None]
        key = next(
            (text for text in overrides if text.startswith("hydra") and text.partition("=")[0] in reasons[0]), ""
        )
        extra = next((extra for part, extra in _PLUGINS.items() if f"'{part}" in reasons[0]), None)
        if extra is not None:
            reasons = [f"needs a plugin that is not installed; pip install 'lipnet[{extra}]'."]
        text = re.sub(
            r" ?To append to your config use \+\S+", "", ": ".join(dict.fromkeys(filter(None, (key, *reasons))))
        )
        if text not in problems:
            problems.append(text)
        return None


def options_of(group: str, extra_dir: str | None) -> list[str]:
    """The options that there are files for, in the order of ``--help``; then those of a folder of the user's."""
    folders = [config_dir() / group] + ([Path(extra_dir) / group] if extra_dir else [])
    found = {
        path.relative_to(folder).with_suffix("").as_posix() for folder in folders for path in folder.rglob("*.yaml")
    }
    declared = list(GROUPS.get(group, {}))
    return [name for name in declared if name in found] + sorted(found - set(declared))


def leaf_keys(node: object, prefix: str = "") -> Iterator[str]:
    """Dotted keys, less Hydra's own."""
    if isinstance(node, dict):
        for key, value in node.items():
            if prefix or key != "hydra":
                yield from leaf_keys(value, f"{prefix}{key}.")
    else:
        yield prefix.rstrip(".")


def without_hydra(config: DictConfig) -> DictConfig:
    """The program's own part of a configuration."""
    config = config.copy()
    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    return config


@contextlib.contextmanager
def hydra_ready(extra_dir: str | None = None) -> Iterator[None]:
    """Composes from the configurations of the program and, as Hydra does, of a folder given with ``--config-dir``."""
    GlobalHydra.instance().clear()
    _COMPOSED.clear()  # files may have changed since
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        if extra_dir is not None:
            path = create_config_search_path(str(config_dir()))
            folder, last = f"file://{Path(extra_dir).absolute()}", SearchPathQuery(provider="schema")
            path.prepend("command-line", folder, last)
            GlobalHydra.instance().clear()
            Hydra.create_main_hydra2("lipnet", path)
        yield


def run_directory(overrides: list[str], config_dir: str | None) -> str:
    """Where a run of these overrides would go."""
    with hydra_ready(config_dir):
        composed = compose("config", overrides=overrides, return_hydra_config=True)
        return str(OmegaConf.select(composed, "hydra.run.dir"))
