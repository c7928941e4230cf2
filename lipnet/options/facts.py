"""What is known of each data set before it is loaded. Imports no torch, so that configurations are checked quickly."""

from pathlib import Path
from typing import Any

import yaml

# name: (channels, height, width), number of classes
DATASETS: dict[str, tuple[tuple[int, int, int], int]] = {
    "digits": ((1, 8, 8), 10),
    "mnist": ((1, 28, 28), 10),
    "fashion_mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "stl10": ((3, 64, 64), 10),
}


def inputs_and_outputs(dataset: Any) -> tuple[tuple[int, ...], int]:
    """The shape of a network's inputs and the number of its outputs: one a class, a single one for a pair of laws."""
    if dataset.name in DATASETS:
        return DATASETS[dataset.name]
    return (DATASETS[dataset.source][0] if hasattr(dataset, "source") else (dataset.dimension,)), 1


def trained_on(run: str | None) -> str | None:
    """The image set of a run of ``task=gan``, from its saved configuration; ``None`` where there is no such run."""
    saved = Path(str(run)) / ".hydra" / "config.yaml"
    try:
        config = yaml.safe_load(saved.read_bytes())
        return config["dataset"]["name"] if config["task"]["name"] == "gan" else None
    except (OSError, yaml.YAMLError, RecursionError, KeyError, TypeError):
        return None
