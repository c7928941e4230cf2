"""What ``results.json`` holds of every run; ``lipnet/tasks/TASK/results.py`` has what a task adds. Imports no torch.

A key whose type admits ``None`` is left out of the file where it has no value. docs/results.md says what each key is.
"""

from typing import TypedDict

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


class Certified(TypedDict):
    """What is proved of a classifier on test examples; of the network in ``certify_dtype``, but for the last."""

    clean_accuracy: float
    certified_accuracy: ByRadius
    certify_dtype: str
    certified_accuracy_by_arithmetic: dict[str, ByRadius]


class Exported(Header):
    """What ``task=export`` leaves of a critic."""

    run: str
    parameters: int
    best_epoch: int
    lipschitz_upper_bound: float
    status: str


class ExportedClassifier(Exported, Certified):
    """What it leaves of a classifier; ``evaluated_again`` of an assured one."""

    test_examples: int
    lipschitz_lower_bound: float
    evaluated_again: float | None
