"""From a composed configuration to a checked one. Imports no torch.

A key that the schema does not declare is an error. All problems of a configuration are collected and reported together.
"""

import dataclasses
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lipnet.errors import UserError
from lipnet.options.between import check_between_keys, check_choices
from lipnet.options.config import Config
from lipnet.options.conformal import Conformal
from lipnet.options.diagnostics import Diagnostics
from lipnet.options.images import Dataset
from lipnet.options.messages import option_name, show, unknown_key, unknown_option
from lipnet.options.models import Generator
from lipnet.options.pairs import Estimate
from lipnet.options.posteriors import Proof
from lipnet.options.registry import GROUPS
from lipnet.options.tasks import Attack

# Groups of keys without options.
NODES: dict[str, type] = {
    "attack": Attack, "estimate": Estimate, "generator": Generator, "proof": Proof, "diagnostics": Diagnostics,
    "conformal": Conformal,
}  # fmt: skip


def parse(config: DictConfig | Mapping[str, Any]) -> Config:
    """Checks a composed configuration.

    Raises:
        UserError: with every problem found: unknown, missing or ill-typed keys, values out of range, keys that do not
            go together.
    """
    parsed, problems = examine(config)
    if parsed is None or problems:
        raise UserError(*problems)
    return parsed


def examine(config: DictConfig | Mapping[str, Any]) -> tuple[Config | None, list[str]]:
    """The checked configuration, or ``None`` with all its problems."""
    unresolved: Any = OmegaConf.to_container(config) if isinstance(config, DictConfig) else config
    chosen = (option_name(unresolved.get(group)) for group in ("task", "dataset", "loss", "model"))
    task, dataset, loss, model = chosen
    problems = list(check_choices(task, dataset, loss, unresolved.get("run"), model))
    try:
        raw: Any = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    except OmegaConfBaseException as error:  # a loss asks the wrong kind of data set for a key: said already
        return None, problems or [f"{error.full_key or 'this configuration'}: {str(error).splitlines()[0]}."]
    values = _parse_fields(Config, raw, "", problems)
    if raw.get("eval_radii", ()) is None and not problems and isinstance(values["dataset"], Dataset):
        problems.append("eval_radii=null: a classifier is certified at radii > 0, such as [0.3,36/255].")
    problems += check_between_keys(SimpleNamespace(**values))
    return (None if problems else Config(**values)), problems


def _parse_node(schema: type, raw: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(raw, Mapping):
        group = path.rstrip(".")
        problems.append(f"{group}={show(raw)}: must be a group of keys; choose an option or override a key in it.")
        return None
    before = len(problems)
    values = _parse_fields(schema, raw, path, problems)
    return schema(**values) if len(problems) == before else None


def _parse_fields(schema: type, raw: Mapping[str, Any], path: str, problems: list[str]) -> dict[str, Any]:
    """Every declared field's checked value; ``None`` where there is a problem."""
    fields = {field.name: field for field in dataclasses.fields(schema)}
    known = [path + name for name in fields]
    problems += [unknown_key(path + str(key), known) for key in raw if key not in fields]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in raw:
            problems.append(f"{path}{name}: this key is missing; it may not be deleted.")
            values[name] = None
        elif "check" in field.metadata:
            values[name] = _parse_value(field.metadata["check"], raw[name], path + name, problems)
        else:
            values[name] = _parse_option(name, raw[name], problems)
    return values


def _parse_value(check: Any, value: Any, path: str, problems: list[str]) -> Any:
    try:
        return check(value)
    except ValueError as error:
        problems.append(f"{path}={show(value)}: {error}.")
        return None


def _parse_option(group: str, raw: Any, problems: list[str]) -> Any:
    if group in NODES:
        return _parse_node(NODES[group], raw, f"{group}.", problems)
    options = GROUPS[group]
    name = option_name(raw)
    if name not in options:
        problems.append(unknown_option(group, show(name), options))
        return None
    return _parse_node(options[name].keys, raw, f"{group}.", problems)
