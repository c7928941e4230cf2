"""What is known of each data set before it is loaded. Imports no torch, so that configurations are checked quickly."""

from pathlib import Path
from typing import Any

import yaml

from lipnet.options.registry import GROUPS, Option, is_for


def image_facts(name: str) -> tuple[tuple[int, ...], int]:
    """``(channels, height, width)`` of a set of labelled images, ``(dimensions,)`` of one of points; its classes."""
    option = GROUPS["dataset"][name]
    assert option.shape is not None
    return option.shape, option.classes


def inputs_and_outputs(dataset: Any) -> tuple[tuple[int, ...], int]:
    """The shape of a network's inputs and the number of its outputs: one a class; one for a pair."""
    if is_for("images", dataset.name) or is_for("problem", dataset.name):
        return image_facts(dataset.name)
    return (image_facts(dataset.source)[0] if hasattr(dataset, "source") else (dataset.dimension,)), 1


def trained_on(run: str | None) -> str | None:
    """The image set of a run of ``task=gan``, from its saved configuration; ``None`` where there is no such run."""
    task, dataset = _saved_choices(run)
    return dataset if task == "gan" else None


def trainer(task: Any, run: Any) -> Option | None:
    """The task that trains, or has trained, the network: ``task`` itself, or that of the finished run that it reads.

    ``None`` where there is no such task, or the run's saved configuration cannot be read: it may be gone.
    """
    option = GROUPS["task"].get(task)
    if option is None or option.trains:
        return option
    found = GROUPS["task"].get(_saved_choices(run)[0] or "")
    return found if found is not None and found.trains else None


def _saved_choices(run: Any) -> tuple[str | None, str | None]:
    """The names of a run's task and of its data set."""
    saved = Path(str(run)) / ".hydra" / "config.yaml"
    try:
        config = yaml.safe_load(saved.read_bytes())
        names = config["task"]["name"], config["dataset"]["name"]
    except (OSError, ValueError, yaml.YAMLError, RecursionError, KeyError, TypeError):
        return None, None
    return names if all(isinstance(name, str) for name in names) else (None, None)
