"""What must hold of a private run before anything is spent. Imports no torch."""

from collections.abc import Iterator
from typing import Any

from lipnet.options.images import Dataset
from lipnet.options.models import ShuffleNet
from lipnet.options.registry import GROUPS
from lipnet.options.tasks import Private


def check_private(config: Any) -> Iterator[str]:
    """Whether the noise is settled, and whether anything would read examples past it."""
    task: Private = config.task
    if task.noise_multiplier is None and task.target_epsilon is None:
        yield "task.target_epsilon=null: and task.noise_multiplier=null, so that no noise is settled; give one of them."
    if task.noise_multiplier is not None and task.target_epsilon is not None:
        yield (
            f"task.noise_multiplier={task.noise_multiplier:g}: settles the noise, which task.target_epsilon="
            f"{task.target_epsilon:g} does too; with the one give task.target_epsilon=null."
        )
    if isinstance(config.dataset, Dataset) and config.dataset.validation and not task.public_validation:
        yield (
            f"dataset.validation={config.dataset.validation:g}: held-out training examples would choose the epoch, "
            "which no noise protects; say that they are public, task.public_validation=true, or use "
            "dataset.validation=0."
        )
    if config.dataset is not None and GROUPS["dataset"][config.dataset.name].found:
        yield (
            f"dataset={config.dataset.name}: what is found in it, such as the mean of training examples and a digest "
            "of the files, is recorded, and no noise protects it; use another set, or register one in a plugin."
        )
    if isinstance(config.model, ShuffleNet):
        yield (
            f"model={config.model.name}: normalises over a batch, so that no example has a gradient of its own; use "
            "small, large, fc."
        )
    if config.compile or config.amp == "bf16":
        yield "compile=true or amp=bf16: task=private does not read them; leave them out."
    if config.diagnostics is not None and config.diagnostics.per_example:
        yield "diagnostics.per_example=true: shows gradients of single examples, which no noise protects; leave it out."
    if config.profile:
        yield "profile=true: writes the sizes of batches, which no noise protects; leave it out."
