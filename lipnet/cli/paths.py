"""Paths on the command line, read as they are meant."""

import contextlib
import os
import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lipnet.runs.commands import path_override

_RUNS = ("resume", "run", "rerun")
_OF_DATA = ("root", "file", "labels", "first", "second", "cache", "run")
_KEYS = (*_RUNS, "model.weights", *(f"dataset.{name}" for name in _OF_DATA), "hydra.run.dir", "hydra.sweep.dir")
_HOME = re.compile(r"(?<![^,])~(?=[/,]|$)")  # at the start, or at the start of a value of a sweep


def as_meant(argument: str) -> str:
    """An override of a path, for Hydra: with ``~`` expanded, and quoted where Hydra would not take it for a path.

    ``run=outputs/latest`` gets the name of the run itself: the link is about to point to another.
    """
    key, _, typed = argument.partition("=")
    name = key.lstrip("+")
    if name not in _KEYS or not typed:
        return argument
    typed = _HOME.sub(lambda _: os.path.expanduser("~"), typed)
    parsed = _parsed(typed)
    meant = _meant(typed, parsed)
    if meant is None:
        return f"{key}={typed}"
    if name in _RUNS and os.path.realpath(meant) != os.path.abspath(meant):
        meant = os.path.relpath(os.path.realpath(meant))
    as_typed = parsed is not None and type(parsed.value()) in (str, int) and str(parsed.value()) == meant
    return f"{key}={typed}" if as_typed else path_override(key, meant)


def _meant(typed: str, parsed: Override | None) -> str | None:
    """The path; ``None`` for null, an interpolation, or a sweep over several. What is there is meant as it stands."""
    value = typed if parsed is None else parsed.value()
    if value is not None and os.path.lexists(typed):
        return typed
    return os.path.expanduser(value) if isinstance(value, str) and "${" not in value else None


def _parsed(typed: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(f"path={typed}")
    except (HydraException, ValueError):
        return None


def path_of(override: Override) -> str | None:
    """The path that an override gives, or ``None`` where it is null; an interpolation is resolved where it can be."""
    value = override.value()
    with contextlib.suppress(OmegaConfBaseException):  # of another key: the configuration's
        value = OmegaConf.create({"path": value})["path"]
    return None if value is None else str(value)
