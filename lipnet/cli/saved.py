"""Commands that start from a finished or stopped run: its overrides, and what may be changed of them."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override

from lipnet.cli.paths import path_of
from lipnet.errors import UserError
from lipnet.options.plugins import missing_plugins
from lipnet.options.readers import resume_keys, run_readers
from lipnet.options.registry import GROUPS
from lipnet.options.trust import read_configuration, read_overrides


@dataclass(frozen=True)
class Origin:
    """The run that a command continues, repeats, evaluates or exports.

    Attributes:
        key: what names it: ``resume``, ``rerun`` or ``run``.
        texts: the overrides that it was started with.
        task: the task that reads it; empty where it is trained.
        changeable: the keys that the command may change; ``None``: all.
    """

    key: str
    directory: str
    texts: list[str]
    task: str
    changeable: tuple[str, ...] | None

    def bound(self, override: Override) -> bool:
        """Whether a typed override concerns what must stay as the run has it."""
        key = override.key_or_group
        if key == "hydra.output_subdir":
            return self.key == "resume"
        if key == "hydra.run.dir":
            return self.key == "resume" or (self.key == "run" and self.holds(override))
        return self.changeable is not None and key not in self.changeable and not key.startswith("hydra")

    def holds(self, override: Override) -> bool:
        """Whether a typed override of ``hydra.run.dir`` is the run's own directory."""
        return os.path.realpath(path_of(override) or "") == os.path.realpath(self.directory)

    def added(self, given: Collection[str]) -> list[str]:
        """The overrides that go before typed ones, whose keys are ``given``."""
        texts = self.texts
        if self.task:  # the options of the task that trained it are none of this one's, and run is now that run
            texts = [text for text in texts if not text.startswith("task.") and _key(text) != "rerun"]
            texts = [f"dataset.{text}" if text.startswith("run=") else text for text in texts]
        return [text for text in texts if _key(text) not in given]

    def refusal(self, changes: dict[str, str]) -> str:
        """One message for all typed overrides that would change the run; each with what the run has instead."""
        does = f"{self.task}s a run as it is" if self.task else "continues a run as it was"
        cure = "" if self.task else " rerun=DIR starts a new run, with any change."
        return (
            f"{', '.join(changes)}: the run in {self.directory} has {', '.join(changes.values())}. "
            f"{self.key}=DIR {does}; it can change {', '.join(self.changeable or ())}.{cure}"
        )


def origin(overrides: list[Override]) -> Origin | None:
    """The run that ``resume=DIR`` continues, ``rerun=DIR`` repeats or a task with ``run=DIR`` reads; if any.

    Raises:
        UserError: DIR is not a run directory, or one that this cannot be done with.
    """
    given = {override.key_or_group: override for override in overrides}
    for name in ("resume", "run", "rerun", "sweep"):
        if name in given and given[name].is_sweep_override():
            raise UserError(f"{given[name].input_line}: takes one value; give each a command of its own.")
    typed = str(given["task"].value()) if "task" in given else ""
    changes = GROUPS["task"][typed].changes if typed in GROUPS["task"] else None
    task = "" if changes is None else typed
    key, changeable = ("resume", resume_keys()) if changes is None else ("run", changes())
    paths = {name: path_of(given[name]) for name in (key, "rerun") if name in given}
    repeated, directory = paths.get("rerun"), paths.get(key)
    if key not in given and repeated is not None:
        return Origin("rerun", repeated, _read_overrides("rerun", repeated), "", None)
    if directory is None:
        return None
    texts = _read_overrides(key, directory)
    for name in run_readers():
        if f"task={name}" in texts:
            raise UserError(
                f"{key}={directory}: of task={name}, not a training run; give the run that it was made from."
            )
    return Origin(key, directory, texts, task, changeable)


def _read_overrides(key: str, directory: str) -> list[str]:
    """What a run was started with, less what concerns a sweep, or how it was continued.

    Raises:
        UserError: this is not a run directory, or its overrides do what only typed ones may.
    """
    saved = Path(directory) / ".hydra" / "overrides.yaml"
    if not saved.is_file() or not saved.stat().st_size:  # a run without overrides has [] in it
        state = "empty" if saved.exists() else "missing"
        raise UserError(f"{key}={directory}: not a run directory ({saved} is {state}); give one from outputs/.")
    texts = read_overrides(saved)
    missing = list(missing_plugins({"plugins": _plugins_of(Path(directory))}))
    if missing:
        raise UserError(f"{key}={directory}: {missing[0]}")
    return [text for text in texts if _key(text) not in ("resume", "objective", "fail_fast", "plugins")]


def remembered_config_dir(directory: str) -> str | None:
    """The folder of ``--config-dir`` that a run was started with, where it is still there."""
    try:
        content = yaml.safe_load((Path(directory) / ".hydra" / "hydra.yaml").read_bytes())
        sources = content["hydra"]["runtime"]["config_sources"]
        found = [str(source["path"]) for source in sources if source["provider"] == "command-line"]
    except (OSError, ValueError, yaml.YAMLError, RecursionError, KeyError, TypeError):
        return None
    return found[0] if found and Path(found[0]).is_dir() else None


def _plugins_of(directory: Path) -> Any:
    """The names that the run's configuration has; none where it cannot be read."""
    try:
        return read_configuration(directory / ".hydra" / "config.yaml").get("plugins")
    except UserError:
        return None


def _key(text: str) -> str:
    return text.partition("=")[0].lstrip("+~")
