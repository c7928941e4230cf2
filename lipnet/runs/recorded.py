"""Configurations that runs recorded, and how another one differs from them. Imports no torch."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lipnet.errors import UserError
from lipnet.options.config import Config
from lipnet.options.defaults import completed
from lipnet.options.facts import with_found
from lipnet.options.messages import show
from lipnet.options.parse import parse
from lipnet.options.plugins import missing_plugins
from lipnet.options.registry import GROUPS
from lipnet.options.trust import read_configuration
from lipnet.runs.identity import NO_RESULT_KEYS

_PATHS = ("run", "dataset.run")  # of results; one directory has many names
_SHOWN = 6


def saved_config(saved: dict[str, Any]) -> Config:
    """A checkpoint's configuration; keys that came later, in a group too, have their defaults."""
    for key, value in saved["config"].items():
        if "${" in str(value):
            raise UserError(f"{key}={value}: a saved configuration holds values, no interpolations.")
    return _completed(saved["config"])


def recorded_config(directory: Path) -> Config:
    """A run directory's configuration, ``.hydra/config.yaml``; keys that came later have their defaults.

    Raises:
        UserError: it is missing, cannot be read, or is none of this program's.
    """
    return _completed(read_configuration(directory / ".hydra" / "config.yaml"))


def _completed(content: Mapping[str, Any]) -> Config:
    missing = list(missing_plugins(content))
    if missing:
        raise UserError(*missing)
    whole = completed(content)
    named = {key: value for key, value in whole.items() if key in content or key not in GROUPS}  # no guess at a task
    try:
        return parse(OmegaConf.create(named))
    except OmegaConfBaseException as error:
        raise UserError(f"the saved configuration cannot be read ({str(error).splitlines()[0]}).") from None


def differences(saved: Any, given: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """``(dotted key, saved value, given value)`` of every leaf that differs."""
    if isinstance(saved, dict) and isinstance(given, dict):
        for key in {**saved, **given}:
            yield from differences(saved.get(key), given.get(key), f"{path}.{key}".lstrip("."))
    elif saved != given:
        yield path, saved, given


def other_results(saved: Config, given: Config) -> str:
    """What differs of two configurations that ask for different results, as ``conv=bcop, not rko``; else nothing."""
    saved, given = _with_found(saved), _with_found(given)
    found = {
        key: (was, now)
        for key, was, now in differences(dataclasses.asdict(saved), dataclasses.asdict(given))
        if key not in NO_RESULT_KEYS
        and not (key in _PATHS and was and now and os.path.realpath(was) == os.path.realpath(now))
    }
    named = {key.removesuffix(".name") for key in found if key.endswith(".name")}
    texts = []
    # Another task or data set comes first: it brings a model, rates and more of its own, and not all are shown.
    for key, (was, now) in sorted(found.items(), key=lambda item: item[0] not in ("task.name", "dataset.name")):
        group = key.partition(".")[0]
        if group not in named:
            texts.append(f"{key}={show(was)}, not {show(now)}")
        elif key == f"{group}.name":  # the keys of two options say no more
            texts.append(f"{group}={was}, not {now}")
    more = [f"and {len(texts) - _SHOWN} more"] if len(texts) > _SHOWN else []
    return "; ".join([*texts[:_SHOWN], *more])


def _with_found(config: Config) -> Config:
    """A configuration with what a run finds from its data, as far as they are there."""
    try:
        return dataclasses.replace(config, dataset=with_found(config.dataset))
    except UserError:
        return config
