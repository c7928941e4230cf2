"""What ``results.json`` holds of every run; ``lipnet/tasks/TASK/results.py`` has what a task adds. Imports no torch.

A key whose type admits ``None`` is left out of the file where it has no value. docs/results.md says what each key is.
"""

from pathlib import Path
from typing import TypedDict, cast

from lipnet.options.config import Config
from lipnet.options.facts import trainer
from lipnet.options.registry import load_code
from lipnet.runs.record import Added, write_results
from lipnet.tasks.numbers import Numbers, numbers_of

ByRadius = dict[str, float]  # a radius as it was written -> a fraction of the examples


class Header(TypedDict):
    """What is known before anything is computed."""

    task: str
    choices: dict[str, str | None]
    overrides: list[str]
    configuration: str
    rerun_of: str | None
    seed: int
    started: str
    git_commit: str | None
    versions: dict[str, str]
    hardware: dict[str, str | int]
    device: str
    processes: int
    threads: int


class Typed(TypedDict):
    """What is known of a job of a sweep before its configuration is checked."""

    overrides: list[str]


class NotStarted(Typed):
    """All that a job leaves that failed then."""

    status: str
    error: str


class Failed(Header):
    """All that a failed run leaves."""

    status: str
    error: str


class Start(Header):
    """What is known before an evaluation: of a run that trained, or of one that evaluates another, its ``run``."""

    run: str | None
    parameters: int
    epochs: int | None
    best_epoch: int
    train_seconds: float | None
    samples_per_second: float | None
    validation: dict[str, float | ByRadius] | None


class Exported(Header):
    """What ``task=export`` leaves of a network; a task may add to it."""

    run: str
    parameters: int
    best_epoch: int
    lipschitz_upper_bound: float
    status: str


def write_failure(directory: Path, known: Header | Typed, error: str) -> None:
    """Writes ``results.json`` of a run that failed, with what is known of it."""
    failed = cast(Failed | NotStarted, {**known, "status": "failed", "error": error})
    write_results(directory, failed)


def numbers_of_any(trains: bool, by_rounds: bool = False) -> list[str]:
    """The numbers of every run: of its machine, its network and, where it trains, its training.

    Args:
        by_rounds: it has no epochs.
    """
    of_start = numbers_of(Start, {"validation": [[]]}, without=Header).measures
    of_training = ("epochs", "train_seconds", "samples_per_second")
    of_epochs = ("epochs", "best_epoch", "samples_per_second") if by_rounds else ()
    kept = [name for name in of_start if (trains or name not in of_training) and name not in of_epochs]
    of_header = numbers_of(Header, {"hardware": [["cores", "memory_bytes"]]}).measures
    return [*kept, *of_header, *numbers_of(Added, {}).measures]


def numbers_of_evaluation(config: Config) -> Numbers:
    """What ``task=evaluate`` may find."""
    found = _of_trainer(config)
    return Numbers(found.measures, found.beside)


def numbers_of_export(config: Config) -> Numbers:
    """What ``task=export`` may find."""
    own, task = numbers_of(Exported, {}, without=Start), _of_trainer(config)
    return Numbers([*own.measures, *task.exported], own.beside)


def _of_trainer(config: Config) -> Numbers:
    """Of the task that trained the network; none where its run is gone."""
    task = trainer(config.task.name, config.run, config.model.name, config.dataset.name)
    found: Numbers = Numbers() if task is None else load_code(task.numbers)(config)
    return found
