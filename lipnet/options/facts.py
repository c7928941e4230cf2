"""What is known of each data set before it is loaded. Imports no torch, so that configurations are checked quickly."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import yaml

from lipnet.options.registry import GROUPS, Option, is_for, load_code


def image_facts(name: str) -> tuple[tuple[int, ...], int]:
    """``(channels, height, width)`` of a set of labelled images, ``(dimensions,)`` of one of points; its classes."""
    option = GROUPS["dataset"][name]
    assert option.shape is not None
    return option.shape, option.classes


def found_keys(dataset: Any) -> list[str]:
    """The keys of a data set that a run finds from the data where they are null."""
    return [field.name for field in dataclasses.fields(dataset) if field.metadata.get("found")]


def with_found(dataset: Any) -> Any:
    """A data set with every key that is found from the data; those that are given stay.

    Raises:
        UserError: the data cannot be used, with everything that is wrong with it.
    """
    option = GROUPS["dataset"][dataset.name]
    missing = [key for key in found_keys(dataset) if getattr(dataset, key) is None] if option.found else []
    if not missing:
        return dataset
    seen = os.getcwd(), repr(dataset)
    if seen not in _FOUND:
        values = load_code(option.found)(dataset)
        _FOUND[seen] = dataclasses.replace(dataset, **{key: values[key] for key in missing})
    return _FOUND[seen]


_FOUND: dict[tuple[str, str], Any] = {}  # of one command, which looks at the data once


def is_digest(content: str) -> bool:
    """Whether a ``content`` is what is found of files; anything else is a name that the user gave."""
    return re.fullmatch("[0-9a-f]{16}", content) is not None


def content_of(dataset: Any) -> str:
    """What tells the files of data of the user's as they are now, whatever name they have; of other sets nothing."""
    if "content" not in found_keys(dataset):
        return ""
    found: str = with_found(dataclasses.replace(dataset, content=None)).content
    return found


def look_again() -> None:
    """Forgets what was found: the data may have changed."""
    _FOUND.clear()


def inputs_and_outputs(dataset: Any) -> tuple[tuple[int, ...], int]:
    """The shape of a network's inputs and the number of its outputs: one a class; one for a pair.

    Raises:
        UserError: they are found from data that cannot be used.
    """
    if GROUPS["dataset"][dataset.name].found:
        facts: tuple[tuple[int, ...], int] = with_found(dataset).shape_and_classes
        return facts
    if is_for("images", dataset.name) or is_for("problem", dataset.name):
        return image_facts(dataset.name)
    return (image_facts(dataset.source)[0] if hasattr(dataset, "source") else (dataset.dimension,)), 1


def trained_on(run: str | None) -> str | None:
    """The image set of a run of ``task=gan``, from its saved configuration; ``None`` where there is no such run."""
    task, dataset = _saved_choices(run)
    return dataset if task == "gan" else None


def trainer(task: Any, run: Any, model: Any = None, dataset: Any = None) -> Option | None:
    """The task that trains, or has trained, the network: ``task`` itself, or that of the finished run that it reads.

    Of a network of the user's own that was trained elsewhere, without a run: the first task for such data.
    ``None`` where there is no such task, or the run's saved configuration cannot be read: it may be gone.

    Args:
        model, dataset: the names of these options.
    """
    option = GROUPS["task"].get(task)
    if option is None or option.trains:
        return option
    if run is None and model == "module" and dataset in GROUPS["dataset"]:
        of_one_network = Option("task", "any").network
        trained = (option for option in GROUPS["task"].values() if option.trains and not option.by_rounds)
        tasks = (option for option in trained if option.network == of_one_network)
        return next((option for option in tasks if is_for(option.data, dataset)), None)
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
