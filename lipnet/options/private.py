"""What must hold of a private run before anything is spent. Imports no torch."""

from collections.abc import Iterator
from typing import Any

from lipnet.options.facts import found_keys
from lipnet.options.images import Arrays, Dataset, ImageFolder
from lipnet.options.messages import show
from lipnet.options.models import ShuffleNet
from lipnet.options.registry import GROUPS, is_image, names_for
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
    yield from _of_own_data(config.dataset)
    if isinstance(config.model, ShuffleNet):
        yield (
            f"model={config.model.name}: normalises over a batch, so that no example has a gradient of its own; use "
            "small, large, fc."
        )
    if config.loss is not None and not GROUPS["loss"][config.loss.name].separate:
        yield (
            f"loss={config.loss.name}: compares the examples of a batch, so that none has a gradient of its own; use "
            f"{_separate_losses()}."
        )
    if getattr(config.loss, "per_pair", False):
        yield "loss.per_pair=true: its gradient reaches the last layer past what is clipped; use loss.per_pair=false."
    if getattr(config.model, "centering", False):
        yield (
            "model.centering=true: subtracts means of batches, so that no example has a gradient of its own; leave it "
            "out."
        )
    if config.compile or config.amp == "bf16":
        yield "compile=true or amp=bf16: task=private does not read them; leave them out."
    if config.diagnostics is not None and config.diagnostics.per_example:
        yield "diagnostics.per_example=true: shows gradients of single examples, which no noise protects; leave it out."
    if config.profile:
        yield "profile=true: writes the sizes of batches, which no noise protects; leave it out."


def _of_own_data(dataset: Any) -> Iterator[str]:
    """Whether anything would be found in the data past the noise, and recorded."""
    if dataset is None or not GROUPS["dataset"][dataset.name].found:
        return
    if not isinstance(dataset, ImageFolder | Arrays):
        yield (
            f"dataset={dataset.name}: what is found in it, such as the rows that are held out and the box that attacks "
            "stay in, is shown, and no noise protects it; use pictures (image_folder, arrays), or register a set in a "
            "plugin."
        )
        return
    missing = [f"dataset.{key}" for key in found_keys(dataset) if getattr(dataset, key) is None]
    if missing:
        yield (
            f"dataset={dataset.name}: {', '.join(missing)}: would be found in the data and recorded, and no noise "
            "protects that; give what may be public (dataset.content may be any name of the data)."
        )
    if dataset.shape is not None and not is_image(tuple(dataset.shape)):
        yield (
            f"dataset.shape={show(dataset.shape)}: the box that attacks stay in would be found in these vectors, and "
            "no noise protects it; task=private takes images."
        )
    for key, none in (("test", "null"), ("validation", "0"), ("limit_train", "null")):
        if getattr(dataset, key):
            yield (
                f"dataset.{key}={show(getattr(dataset, key))}: would part the examples by lot, so that one more moves "
                f"others from one part to the other; part the data yourself, and give dataset.{key}={none}."
            )


def _separate_losses() -> str:
    return ", ".join(f"loss={name}" for name in names_for("loss", "images") if GROUPS["loss"][name].separate)
