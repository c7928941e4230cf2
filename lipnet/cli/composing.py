"""Composing a configuration: all that touches what Hydra keeps to itself."""

import argparse
import contextlib
import dataclasses
import functools
import inspect
import pickle
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal import config_loader_impl as loading
from hydra._internal import hydra as starting
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.conf import HydraConf
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lipnet.cli import renamed
from lipnet.cli.plugins import plugins_ready
from lipnet.options.folder import config_dir
from lipnet.options.messages import show
from lipnet.options.registry import GROUPS

_NOT_CHOSEN = ("hydra", "usual", "with_conv")  # folders whose files Hydra takes by itself
_COMPOSED: dict[tuple[str, ...], DictConfig] = {}  # within one use of ``hydra_ready``
# Launchers and sweepers that are packages of their own, and the extra that brings them.
_PLUGINS = {"hydra/launcher/joblib": "joblib", "hydra/launcher/submitit": "submitit", "hydra/sweeper/optuna": "optuna"}

renamed.register()


def _itself(store: ConfigStore, memo: dict[int, Any]) -> ConfigStore:
    """Hydra copies its store whenever it looks at a folder, though it copies what it takes out of it as well."""
    return store


ConfigStore.__deepcopy__ = _itself  # type: ignore[attr-defined]


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


def known_flags() -> list[str]:
    """Those that ``read_arguments`` takes."""
    return [flag for action in get_args_parser()._actions for flag in action.option_strings]


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

    Nothing changes what is returned: the same overrides give the same object.
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
    """The options that there are files for, or plugins, in the order of ``--help``; then those of a folder of the
    user's.
    """
    folders = [config_dir() / group] + ([Path(extra_dir) / group] if extra_dir else [])
    found = {
        path.relative_to(folder).with_suffix("").as_posix() for folder in folders for path in folder.rglob("*.yaml")
    }
    found |= {option.name for option in GROUPS.get(group, {}).values() if option.plugin}
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
    plain: DictConfig = pickle.loads(pickle.dumps(config))  # a third of the time of OmegaConf's own copies
    OmegaConf.set_struct(plain, False)
    plain.pop("hydra", None)
    return plain


@contextlib.contextmanager
def hydra_ready(extra_dir: str | None = None) -> Iterator[None]:
    """Composes from the configurations of the program and, as Hydra does, of a folder given with ``--config-dir``."""
    GlobalHydra.instance().clear()
    _COMPOSED.clear()  # files may have changed since
    with composing_once(), initialize_config_dir(str(config_dir()), version_base="1.3"):
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


@dataclasses.dataclass(frozen=True)
class _Composed:
    """What the loaders of one command have read.

    Attributes:
        searched: the configurations known to add no folder to those that are searched.
        lists: chosen options -> the files that they ask for.
        merged: files -> the configuration that they make, pickled, as each use needs a copy.
    """

    searched: set[object] = dataclasses.field(default_factory=set)
    lists: dict[object, DefaultsList] = dataclasses.field(default_factory=dict)
    merged: dict[object, bytes] = dataclasses.field(default_factory=dict)


class _Loader(ConfigLoaderImpl):
    """Hydra's loader, which reads and merges the files of the same options once: nearly all the time of composing.

    All else that Hydra does to compose, it does each time: it parses the overrides, sets the keys, and notes the run.
    The jobs of a sweep in processes of their own are sent what was read before they started.
    """

    def __init__(self, config_search_path: ConfigSearchPath, composed: _Composed) -> None:
        super().__init__(config_search_path)
        self._composed = composed

    def _load_configuration_impl(self, *args: Any, **kwargs: Any) -> DictConfig:
        plugins_ready()  # in a process of its own, a job of a sweep finds them named in the variable
        listed = functools.partial(self._listed, loading.create_defaults_list)
        with _replaced(loading, "create_defaults_list", listed):
            return super()._load_configuration_impl(*args, **kwargs)

    def _process_config_searchpath(
        self, config_name: str | None, parsed_overrides: list[Override], repo: CachingConfigRepository
    ) -> None:
        known = (config_name, _sources(repo))
        added = any(override.get_key_element().lstrip("+~") == "hydra.searchpath" for override in parsed_overrides)
        if added or known not in self._composed.searched:
            super()._process_config_searchpath(config_name, parsed_overrides, repo)
            if not added and known[1] == _sources(repo):
                self._composed.searched.add(known)

    def _listed(
        self,
        create: Callable[..., DefaultsList],
        repo: IConfigRepository,
        config_name: str | None,
        overrides_list: list[Override],
        prepend_hydra: bool,
        skip_missing: bool,
    ) -> DefaultsList:
        chosen = Overrides(repo, overrides_list)  # Hydra's own way to tell options from keys
        options = (sorted(chosen.override_choices.items()), chosen.append_group_defaults, chosen.deletions)
        whole = (_sources(repo), config_name, prepend_hydra, repr(options))
        lists = self._composed.lists
        # A list in which nothing is missing is the same where Hydra would have left out what is.
        found = lists.get((*whole, False)) or lists.get((*whole, skip_missing))
        if found is None:
            found = create(repo, config_name, overrides_list, prepend_hydra, skip_missing)
            lists[(*whole, skip_missing)] = found
        return dataclasses.replace(found, config_overrides=chosen.config_overrides)

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        files = (_sources(repo), *map(dataclasses.astuple, defaults))
        merged = self._composed.merged
        if files not in merged:
            merged[files] = pickle.dumps(super()._compose_config_from_defaults_list(defaults, repo))
        config: DictConfig = pickle.loads(merged[files])
        return config


def _sources(repo: IConfigRepository) -> tuple[str, ...]:
    """The folders that are searched, in their order."""
    return tuple(map(repr, repo.get_sources()))


# The steps of composing that the loader above knows. Another Hydra may take others: it composes each time.
_STEPS = {
    "create_defaults_list": ("repo", "config_name", "overrides_list", "prepend_hydra", "skip_missing"),
    "ConfigLoaderImpl._process_config_searchpath": ("self", "config_name", "parsed_overrides", "repo"),
    "ConfigLoaderImpl._compose_config_from_defaults_list": ("self", "defaults", "repo"),
}


def _takes_known_steps() -> bool:
    found = {}
    for name in _STEPS:
        step: Any = loading
        for part in name.split("."):
            step = getattr(step, part, None)
        found[name] = tuple(inspect.signature(step).parameters) if callable(step) else ()
    return found == _STEPS


@contextlib.contextmanager
def composing_once() -> Iterator[None]:
    """For one command: what its checks have composed, Hydra does not compose again, nor does one job what another did.

    Files that change meanwhile change nothing: every job has the configuration that was checked.
    """
    if starting.ConfigLoaderImpl is not ConfigLoaderImpl or not _takes_known_steps():
        yield  # within another use of this, or a Hydra that is not known
    else:
        with _replaced(starting, "ConfigLoaderImpl", functools.partial(_Loader, composed=_Composed())):
            yield


@contextlib.contextmanager
def _replaced(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
