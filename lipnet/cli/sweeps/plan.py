"""What a sweep will do, read off its overrides and its sweeper before anything starts."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from lipnet.runs.names import sweep_name


@dataclass(frozen=True)
class Plan:
    """A sweep.

    Attributes:
        overrides: typed ones, and those of a ready-made sweep that were not typed; an interval by its two ends.
        name: for its directory; the same whatever is selected of a ready-made sweep, so that a launch of more of it
            skips what a launch of less has completed.
        keys: in which the jobs differ; of a ready-made sweep all of its keys, those too that one value was typed of.
        alone: name and keys that what is selected had by itself in earlier versions.
        jobs: how many there are.
        optimises: whether its sweeper needs an objective.
    """

    overrides: list[Override]
    name: str
    keys: list[str]
    alone: tuple[str, list[str]]
    jobs: int
    optimises: bool


def plan_sweep(typed: list[Override], sweeper: DictConfig, values: Callable[[Override], list[str]]) -> Plan:
    """The plan of a sweep.

    Args:
        sweeper: the composed ``hydra.sweeper``; its ``params`` are the values of a ready-made sweep.
        values: an override -> the texts of its values.
    """
    optimises = "optuna" in sweeper._target_
    given = {override.key_or_group for override in typed}
    params = [(key, value) for key, value in (sweeper.get("params") or {}).items() if key not in given]
    overrides = [_parsed(key, value) for key, value in params] + typed
    if optimises:
        overrides = [_ends(override) for override in overrides]
    last = {override.key_or_group: override for override in overrides}
    swept = [key for key, override in last.items() if override.is_sweep_override()]
    keys = swept if optimises else list(dict.fromkeys([*(sweeper.get("params") or {}), *swept]))
    jobs = sweeper.n_trials if optimises else math.prod(_count(last[key], values) for key in swept)
    return Plan(overrides, _name(last, keys), keys, (_name(last, swept), swept), jobs, optimises)


def _name(overrides: Mapping[str, Override], keys: list[str]) -> str:
    """Of a sweep over these keys: what else was typed says which one it is."""
    fixed = [override.input_line or "" for key, override in overrides.items() if key not in keys]
    return sweep_name(_named_first(fixed), keys)


def _named_first(fixed: list[str]) -> list[str]:
    return sorted(fixed, key=lambda text: not text.startswith(("sweep=", "experiment=")))


def _count(override: Override, values: Callable[[Override], list[str]]) -> int:
    try:
        return len(values(override))
    except HydraException:  # not values that can be listed: the checks will say so
        return 1


def _ends(override: Override) -> Override:
    """An interval, for the checks: if both ends are allowed, so is what lies between."""
    interval = override.value()
    if not isinstance(interval, IntervalSweep):
        return override
    return _parsed(override.key_or_group, f"{interval.start},{interval.end}")


def _parsed(key: str, value: object) -> Override:
    return OverridesParser.create().parse_override(f"{key}={value}")
