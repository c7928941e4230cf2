"""What is known of each data set before it is loaded. Imports no torch, so that configurations are checked quickly."""

from pathlib import Path
from typing import Any

import yaml

from lipnet.options.registry import GROUPS, is_for


def image_facts(name: str) -> tuple[tuple[int, int, int], int]:
    """``(channels, height, width)`` of a set of labelled images, and its number of classes."""
    option = GROUPS["dataset"][name]
    assert option.shape is not None
    return option.shape, option.classes


def inputs_and_outputs(dataset: Any) -> tuple[tuple[int, ...], int]:
    """The shape of a network's inputs and the number of its outputs: one a class; one for a pair."""
    if is_for("images", dataset.name):
        return image_facts(dataset.name)
    return (image_facts(dataset.source)[0] if hasattr(dataset, "source") else (dataset.dimension,)), 1


def trained_on(run: str | None) -> str | None:
    """The image set of a run of ``task=gan``, from its saved configuration; ``None`` where there is no such run."""
    saved = Path(str(run)) / ".hydra" / "config.yaml"
    try:
        config = yaml.safe_load(saved.read_bytes())
        return config["dataset"]["name"] if config["task"]["name"] == "gan" else None
    except (OSError, yaml.YAMLError, RecursionError, KeyError, TypeError):
        return None
