"""What configuration files from elsewhere may say: a run directory's overrides, a folder given with ``--config-dir``.

The program builds its own objects from its own table of names. But Hydra instantiates the ``_target_`` of its plugins,
logging calls factories, and interpolations run resolvers: in a file that came with the data, each could run code or
read the machine's files and variables. What a user types is trusted.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lipnet.errors import UserError, reason_of

_RESOLVER = re.compile(r"\$\{\s*([^}\s:]+)\s*:")
_RESOLVERS = ("oc.select", "hydra", "now")  # of the configuration itself, of the run's own name and date
# What conf/ itself writes into a composed configuration.
_OWN_RESOLVERS = (*_RESOLVERS, "lipnet.trained_on")
_DATA_FOLDER = "${oc.env:LIPNET_DATA,data}"
_TARGETS = ("hydra_plugins.", "hydra._internal.core_plugins.")  # launchers and sweepers of installed plugins
_UNREADABLE = (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException)
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")


def read_overrides(path: Path) -> list[str]:
    """The saved overrides of a run, for Hydra to read again.

    Raises:
        UserError: the file is no list of texts, or an override does what only a typed one may.
    """
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(path))
    except _UNREADABLE as error:
        raise UserError(f"{path}: cannot be read ({reason_of(error)}).") from None
    texts = [] if content == {} else content  # an empty file
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{path}: not a list of overrides, such as [epochs=3, model=fc].")
    problems = [f"{path}: {problem}" for text in texts for problem in _override_problems(text)]
    if problems:
        raise UserError(*problems)
    return texts


def read_configuration(path: Path) -> dict[str, Any]:
    """The composed configuration that a run saved, its interpolations as they stand.

    Raises:
        UserError: the file is no table of keys, or an interpolation in it would read more than the configuration.
    """
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(path))
    except _UNREADABLE as error:
        raise UserError(f"{path}: cannot be read ({reason_of(error)}).") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a table of keys.")
    texts = [text for text in _leaves(content) if text != _DATA_FOLDER]
    problems = [f"{path}: {problem}" for text in texts for problem in resolver_problems(text, _OWN_RESOLVERS)]
    if problems:
        raise UserError(*problems)
    return content


def _leaves(node: Any) -> Iterator[str]:
    """Every text in it."""
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _leaves(part)
    if isinstance(node, str):
        yield node


def check_folder(folder: Path) -> Iterator[str]:
    """Every problem of the files in a folder of configurations."""
    if not folder.is_dir():
        yield f"--config-dir {folder}: there is no such folder."
    for path in sorted(folder.rglob("*.yaml")):
        try:
            content = OmegaConf.to_container(OmegaConf.load(path))
        except _UNREADABLE as error:
            yield f"{path}: cannot be read ({reason_of(error)})."
            continue
        yield from (f"{path}: {problem}" for problem in _node_problems(content, ""))


def resolver_problems(text: str, allowed: tuple[str, ...] = _RESOLVERS) -> Iterator[str]:
    """Interpolations such as ``${oc.env:HOME}``; a plain one, ``${dataset.name}``, only points at another key."""
    for name in _RESOLVER.findall(text):
        if name not in allowed:
            yield f"{text}: ${{{name}:...}} may not stand in a file, only on the command line; write the value itself."


def _override_problems(text: str) -> Iterator[str]:
    key = text.lstrip("+~").partition("=")[0]
    if re.split(r"[./@]", key)[0] == "hydra" or "_target_" in text:
        yield f"{text}: may not stand in a file, only on the command line."
    yield from resolver_problems(text)


def _node_problems(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _entry_problems(str(key), value, f"{path}{key}")
            yield from _node_problems(value, f"{path}{key}.")
    elif isinstance(node, list):
        for entry in node:
            yield from _node_problems(entry, path)
    elif isinstance(node, str):
        yield from (f"{path.rstrip('.')}={problem}" for problem in resolver_problems(node))
        if node.startswith(("ext://", "cfg://")) and node not in _STREAMS:
            yield f"{path.rstrip('.')}={node}: imports an object; use one of {', '.join(_STREAMS)}."


def _entry_problems(key: str, value: Any, path: str) -> Iterator[str]:
    if key == "plugins":
        yield f"{path}={value}: imports modules, so it may not stand in a file, only on the command line."
    if key == "_target_" and not (isinstance(value, str) and value.startswith(_TARGETS)):
        yield f"{path}={value}: only plugins of Hydra are instantiated, {', '.join(f'{name}*' for name in _TARGETS)}."
    if key == "()" or (key == "class" and not str(value).startswith("logging.")):
        yield f"{path}={value}: only classes of logging are instantiated."
