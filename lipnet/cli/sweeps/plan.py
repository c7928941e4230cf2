"""What a sweep will do, read off its overrides and its sweeper before anything starts."""

import math
from collections.abc import Callable
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
        name: for its directory.
        keys: in which the jobs differ.
        jobs: how many there are.
        optimises: whether its sweeper needs an objective.
    """

    overrides: list[Override]
    name: str
    keys: list[str]
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
    fixed = [override.input_line or "" for key, override in last.items() if key not in swept]
    jobs = sweeper.n_trials if optimises else math.prod(_count(last[key], values) for key in swept)
    return Plan(overrides, sweep_name(_named_first(fixed), swept), swept, jobs, optimises)


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
