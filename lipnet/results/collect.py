"""Runs found on disk, finished or not. Reads JSON, YAML and CSV only, so that thousands take seconds; no torch."""

import contextlib
import errno
import functools
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from lipnet.errors import UserError
from lipnet.options.checks import radius_value
from lipnet.options.defaults import as_text, completed, leaves, resolved
from lipnet.options.registry import GROUPS, unread_groups
from lipnet.results.measures import Measure, measures
from lipnet.results.results_file import Recorded
from lipnet.results.wellformed import check
from lipnet.runs.files import read_csv
from lipnet.runs.identity import NO_RESULT_KEYS
from lipnet.runs.names import method_group

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SEED = re.compile(r"^seed: .*$", re.MULTILINE)
# What may differ between runs of one configuration: the seed, and where and how a run is shown and stored. Device and
# threads change results by rounding alone; rows that mix them say so.
_NOT_CONFIGURATION = ("seed", "run", *NO_RESULT_KEYS)


def _nothing() -> Recorded:
    return cast(Recorded, {})


@dataclass(frozen=True)
class Run:
    """One run directory.

    Attributes:
        config: dotted key -> value as text; an option's name under its group (``conv`` -> ``bcop``). Keys that came
            later than the run have their defaults.
        composed: whether ``config`` is the composed configuration, or (``.hydra`` is missing) only what the choices and
            overrides in ``results.json`` say.
        results: the content of ``results.json``.
        measures: what was measured, as far as the run has finished.
        written: radius -> as it was written.
        problem: why it has no place in a table; empty for a finished run.
    """

    directory: Path
    config: dict[str, str]
    composed: bool
    results: Recorded = field(default_factory=_nothing)
    measures: dict[Measure, float] = field(default_factory=dict)
    written: dict[float, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def seed(self) -> str:
        return as_text(self.results.get("seed", self.config.get("seed")))

    @property
    def method(self) -> str:
        """The kind of convolution; where there is no choice of it, of the shuffles or linear layers; else ``–``."""
        group = method_group(self.config.get("model", "?"))
        return "–" if group is None else self.config.get(group, "?")

    @property
    def unfinished(self) -> bool:
        """It may still go on."""
        return bool(self.problem) and not self.results

    @functools.cached_property
    def facts(self) -> dict[str, str]:
        """What a run can be chosen by: its configuration, method, status and commit."""
        status = str(self.results.get("status", "unfinished"))
        commit = self.results.get("git_commit")
        return self.config | {"seed": self.seed, "method": self.method, "status": status, "git_commit": str(commit)}

    @functools.cached_property
    def identity(self) -> tuple[Any, ...]:
        """Equal for runs that differ in nothing but the seed."""
        unread = unread_groups(self.config.get("model"))
        items = []
        for key, value in sorted(self.config.items()):
            if key not in _NOT_CONFIGURATION and key.partition(".")[0] not in unread:
                items.append((key, value))
        return (self.composed, *items)


def find_runs(directories: list[Path]) -> list[Run]:
    """Every run in or below the directories, by path.

    Raises:
        UserError: a directory does not exist, or no run is in any of them.
    """
    paths: dict[Path, Path] = {}
    refused: list[OSError] = []
    for top in directories:
        if not os.path.isdir(top):
            raise UserError(f"{top}: no such directory; give run directories, or folders above them such as outputs.")
        for path in _run_directories(top, refused):
            paths.setdefault(path.resolve(), path)
    unreadable = [
        Run(Path(error.filename), {}, False, problem=f"cannot be read: {error.strerror}") for error in refused
    ]
    if not paths and not unreadable:
        listed = ", ".join(map(str, directories))
        raise UserError(f"{listed}: no run there; a run directory holds results.json, .hydra or checkpoints.")
    return [*_without_copies([_read(paths[path]) for path in sorted(paths)]), *unreadable]


def _run_directories(top: Path, refused: list[OSError]) -> Iterator[Path]:
    """Every run directory; folders that cannot be looked into come into ``refused``, those that vanish do not."""

    def note(error: OSError) -> None:
        if error.errno != errno.ENOENT:
            refused.append(error)

    for folder, folders, files in os.walk(top, onerror=note):
        if "results.json" in files or ".hydra" in folders or "checkpoints" in folders:
            yield Path(folder)
        folders[:] = [name for name in folders if not name.startswith(".") and name != "checkpoints"]


def _without_copies(runs: list[Run]) -> list[Run]:
    """The runs, of which those that hold another's results once more have no place: they are no second seed."""
    first: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: not run.composed):  # a copy may have lost its configuration
        if "started" in run.results and not run.problem:
            first.setdefault(str(run.results["started"]), []).append(run)
    copies = {}
    for same in first.values():
        for place, run in enumerate(same):
            original = next((other for other in same[:place] if other.results == run.results), None)
            if original is not None:
                copies[run.directory] = _without_place(run, f"a copy of {original.directory}")
    return [copies.get(run.directory, run) for run in runs]


def _bytes(path: Path) -> bytes:
    """The content of a file; a pipe would wait for a writer for ever."""
    if not path.is_file() and path.exists():
        raise OSError(f"{path.name} is no file")
    return path.read_bytes()


def _read(directory: Path) -> Run:
    config = _composed_config(directory)
    try:
        results = json.loads(_bytes(directory / "results.json"))
    except FileNotFoundError:
        return Run(directory, config, bool(config), problem=_unfinished(directory, config))
    except (OSError, ValueError, RecursionError) as error:
        return Run(directory, config, bool(config), problem=f"results.json cannot be read: {error}")
    if not isinstance(results, dict):
        return Run(directory, config, bool(config), problem="results.json is not a table of keys")
    recorded = cast(Recorded, results)
    found = Run(directory, config or _told_config(recorded), bool(config), recorded)
    try:
        return _measured(found)
    except (ValueError, TypeError, AttributeError, ArithmeticError, LookupError) as error:
        return _without_place(found, f"results.json is not as lipnet writes it: {error}")


def _measured(run: Run) -> Run:
    results = run.results
    if results.get("status") != "completed":
        reason = results.get("error") or f"status {results.get('status')}"
        return _without_place(run, f"{results.get('status', 'unfinished')}: {' '.join(str(reason).split())}")
    if not {"clean_accuracy", "wasserstein", "gan", "online", "bayes"} & set(results):
        return _without_place(run, f"task={results.get('task')}: its results hold no accuracies, distance or losses")
    check(results)
    written = {radius_value(text): text for text in results.get("certified_accuracy", {})}
    written |= {radius_value(text): text for by in results.get("attacked_accuracy", {}).values() for text in by}
    return Run(run.directory, run.config, run.composed, results, measures(results), written)


def _without_place(run: Run, problem: str) -> Run:
    return Run(run.directory, run.config, run.composed, run.results, problem=problem)


def _unfinished(directory: Path, config: dict[str, str]) -> str:
    files = ("metrics.csv", "lipnet.log", "checkpoints/last.pt", ".hydra/config.yaml")
    times = []
    for name in files:
        with contextlib.suppress(OSError):  # missing; or the run is being deleted
            times.append((directory / name).stat().st_mtime)
    try:
        rows = read_csv(directory / "metrics.csv")
    except (OSError, ValueError):
        rows = [{}]
    epoch = rows[-1].get("epoch", "?") if rows else "0"
    ago = f", last written {_duration(time.time() - max(times))} ago" if times else ""
    task = GROUPS["task"].get(config.get("task", ""))
    unit, key = ("round", "dataset.rounds") if task is not None and task.by_rounds else ("epoch", "epochs")
    return f"unfinished: after {unit} {epoch} of {config.get(key, '?')}{ago}"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _composed_config(directory: Path) -> dict[str, str]:
    """The composed configuration, flat; empty where there is none to read."""
    try:
        text = _bytes(directory / ".hydra" / "config.yaml").decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    seed = _SEED.search(text)
    without = _flat_yaml(_SEED.sub("", text, count=1))  # shared by all seeds of a configuration: parsed once
    return {**without, "seed": seed[0].partition(": ")[2]} if seed and without else dict(without)


@functools.cache
def _flat_yaml(text: str) -> dict[str, str]:
    try:
        tree = yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError:
        return {}
    if not isinstance(tree, dict) or not tree:
        return {}
    try:
        flat = dict(leaves(completed(tree)))
    except RecursionError:  # an anchor in itself
        return {}
    return {key.removesuffix(".name"): as_text(resolved(value, flat)) for key, value in flat.items()}


def _told_config(results: Recorded) -> dict[str, str]:
    """What the choices and overrides in ``results.json`` say of a configuration."""
    choices, overrides = results.get("choices"), results.get("overrides")
    told = {group: str(option) for group, option in choices.items()} if isinstance(choices, dict) else {}
    for override in overrides if isinstance(overrides, list) else []:
        key, _, value = str(override).lstrip("+").partition("=")
        if key not in told and not key.startswith("hydra"):
            told[key] = value
    return told
