"""What ``conf/`` says of keys that a configuration lacks, as one from before a key existed. Imports no torch."""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import OmegaConf

from lipnet.options.folder import config_dir
from lipnet.options.parse import NODES
from lipnet.options.registry import GROUPS, Option

_INTERPOLATION = re.compile(r"\$\{(?:oc\.select:)?([\w.]+)(?:,(\w+))?\}")


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A nested configuration with every key of ``conf/`` that it lacks: a key of a group from the option it has."""
    whole = {**_keys("config.yaml"), **{group: {"name": option} for group, option in _options().items()}, **config}
    return {
        key: _defaults_of(key, value) | dict(value) if isinstance(value, Mapping) else value
        for key, value in whole.items()
    }


def _defaults_of(key: str, group: Mapping[str, Any]) -> dict[str, Any]:
    if key in NODES:
        return _keys("config.yaml")[key]
    name = group.get("name")
    options = GROUPS.get(key, {})
    return _without_choices(content_of(options[name])) if isinstance(name, str) and name in options else {}


def content_of(option: Option) -> dict[str, Any]:
    """What the file of an option says; of a plugin's, what its registration says in place of a file.

    Raises:
        OSError, ValueError, yaml.YAMLError: a plugin's own file cannot be read.
    """
    if not option.plugin:
        return _content(f"{option.group}/{option.name}.yaml")
    content = content_of(GROUPS[option.group][option.like]) if option.like else {}
    fields = {field.name: field for field in dataclasses.fields(option.keys)}
    content = {key: value for key, value in content.items() if key in fields or key == "defaults"}
    for name, field in fields.items():
        if field.default is not dataclasses.MISSING:
            content[name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            content[name] = field.default_factory()
    if option.file:
        own: Any = OmegaConf.to_container(OmegaConf.load(option.file))
        content |= own
    return content | {"name": option.name}


def _keys(file: str) -> dict[str, Any]:
    return _without_choices(_content(file))


def _without_choices(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in ("defaults", "hydra")}


def _options() -> dict[str, str]:
    """Each group's option where none is chosen."""
    listed = [entry for entry in _content("config.yaml")["defaults"] if isinstance(entry, dict)]
    return {group: option for entry in listed for group, option in entry.items() if group in GROUPS}


@functools.cache
def _content(file: str) -> dict[str, Any]:
    content: Any = OmegaConf.to_container(OmegaConf.load(config_dir() / file))
    return content


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; lists are values."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def resolved(value: Any, flat: Mapping[str, Any]) -> Any:
    """Follows ``${dataset.epsilon}``, or ``${oc.select:dataset.eval_radii,null}``, to another key."""
    match = _INTERPOLATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    otherwise = value if match[2] is None else None if match[2] == "null" else match[2]
    return flat.get(match[1], otherwise)


def as_text(value: Any) -> str:
    """A value as one would type it; equal for equal numbers: ``1`` for 1 and 1.0."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(as_text, value))}]"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
