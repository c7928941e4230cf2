"""Data sets of labelled images, or points, as tensors in memory, with their splits; ``lipnet.data.sets`` loads each."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lipnet.data.augment import crop_and_flip
from lipnet.data.rows import Rows
from lipnet.errors import UserError
from lipnet.options.facts import inputs_and_outputs, with_found
from lipnet.options.images import Dataset, OwnDataset
from lipnet.options.messages import show
from lipnet.options.registry import is_image, load, taken
from lipnet.randomness import stream

log = logging.getLogger("lipnet")


@dataclass(frozen=True)
class Split:
    """Images of one split, kept in their stored type; batches come as float32 in [0, 1].

    Attributes:
        images: ``(examples, channels, height, width)``, or of points ``(examples, dimensions)``, integers from 0 to
            ``maximum``.
        labels: ``(examples,)``, int64.
        maximum: the stored value that stands for 1.
        indices: each example's number in its original split.
        augment: ``(images, generator) -> images``, applied to training batches.
        box: of vectors in units of their own, stored as float32: the lowest corner and the side of the cube in which
            they lie, where others have [0, 1].
    """

    images: Tensor | Rows
    labels: Tensor
    maximum: int
    indices: Tensor
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    box: tuple[Tensor, float] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.labels.device

    def take(self, indices: Tensor) -> "Split":
        images = self.images.take(indices) if isinstance(self.images, Rows) else self.images[indices]
        return replace(self, images=images, labels=self.labels[indices], indices=self.indices[indices])

    def to(self, device: torch.device) -> "Split":
        box = None if self.box is None else (self.box[0].to(device), self.box[1])
        return replace(self, images=self.images.to(device), labels=self.labels.to(device), box=box)

    def pixels(self, rows: slice | Tensor = slice(None)) -> Tensor:
        """Images as float32 in [0, 1], each the float32 nearest to its stored value over ``maximum``."""
        return self.images[rows].float() / self.maximum

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All examples in order, for evaluation."""
        for start in range(0, len(self), batch_size):
            rows = slice(start, start + batch_size)
            yield self.pixels(rows), self.labels[rows]

    def training_batches(
        self, batch_size: int, seed: int, epoch: int, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in an order that depends on ``(seed, epoch)`` alone, from batch number ``first`` on.

        Augmentation draws from a stream of ``(seed, epoch, batch)``, so that an epoch can be entered anywhere.
        """
        order = torch.randperm(len(self), generator=stream(seed, "epoch order", epoch)).to(self.images.device)
        for number, rows in enumerate(order.split(batch_size)):
            if number >= first:
                yield self.training_batch(rows, stream(seed, "augmentation", epoch, number))

    def training_batch(self, rows: Tensor, augmentation: torch.Generator) -> tuple[Tensor, Tensor]:
        """The examples of these rows, augmented, and their labels."""
        images = self.pixels(rows)
        if self.augment is not None:
            images = self.augment(images, augmentation)
        return images, self.labels[rows]


class Pixels:
    """The images of a split as float32 in [0, 1], made when they are asked for: a file may be larger than memory."""

    dtype = torch.float32

    def __init__(self, split: Split) -> None:
        self._split = split

    def __len__(self) -> int:
        return len(self._split)

    @property
    def shape(self) -> torch.Size:
        return self._split.images.shape

    @property
    def device(self) -> torch.device:
        return self._split.device

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        return self._split.pixels(rows)


@dataclass(frozen=True)
class Splits:
    """Training, validation (for model selection; may be empty) and test examples."""

    train: Split
    validation: Split
    test: Split


def load_splits(config: Dataset, seed: int) -> Splits:
    """Loads a data set and splits it; the same seed gives the same splits.

    Raises:
        UserError: files are missing, cannot be fetched, or are not what they should be.
    """
    train, test = load_files(config, seed)
    held_out = round(config.validation * len(train))
    if config.validation and not held_out:
        raise UserError(
            f"dataset.validation={config.validation}: holds out none of {len(train)} training examples; use at least "
            f"{1 / len(train):.1g}, or 0 for none (the last epoch is then taken for the best)."
        )
    order = torch.randperm(len(train), generator=stream(seed, "split"))
    validation, train = train.take(order[:held_out]), train.take(order[held_out:])
    if config.limit_train is not None:
        train = train.take(torch.arange(min(config.limit_train, len(train))))  # already shuffled
    if config.limit_test is not None:
        test = test.take(torch.randperm(len(test), generator=stream(seed, "test examples"))[: config.limit_test])
    _check_classes(train, config)
    augment = None
    if getattr(config, "augment", config.crop):
        augment = partial(crop_and_flip, padding=config.crop, flips=hasattr(config, "augment"))
    return Splits(replace(train, augment=augment), validation, test)


def tell_counts(splits: Splits, dataset: Dataset) -> None:
    """Logs how many examples of each class there are of data of the user's own."""
    if not isinstance(dataset, OwnDataset):
        return
    classes = with_found(dataset).classes
    for name, split in (("training", splits.train), ("validation", splits.validation), ("test", splits.test)):
        counts = torch.bincount(split.labels, minlength=len(classes)).tolist()
        listed = ", ".join(f"{label} {count:,}" for label, count in zip(classes, counts, strict=True))
        log.info("%s: %s examples for %s: %s", dataset.name, f"{len(split):,}", name, listed)


def load_files(config: Any, seed: int = 0) -> tuple[Split, Split]:
    """Training and test images as stored; ``config`` has the set's ``name`` and, but for the digits, where it lies.

    Args:
        seed: of training examples that the run draws.

    Raises:
        UserError: files are missing, cannot be fetched, or are not what they should be.
    """
    make = load("dataset", config.name)
    train, test = make(config, **taken(make, seed=seed))
    for split, part in ((train, "training"), (test, "test")):
        _check(split, config, part)
    return train, test


def _check_classes(train: Split, config: Dataset) -> None:
    """One class has no margin: every network classifies it, and nothing is learned."""
    if int(train.labels.min()) == int(train.labels.max()):
        raise UserError(
            f"dataset={config.name}: all {len(train)} training examples have the label {int(train.labels[0])}; a "
            f"classifier needs two classes (dataset.limit_train={show(config.limit_train)}, of shuffled examples)."
        )


def _check(split: Split, config: Any, part: str) -> None:
    name, (shape, classes) = config.name, inputs_and_outputs(config)
    stored = torch.uint8 if is_image(shape) else torch.int32
    if split.images.dtype == torch.float32 and split.maximum == 1:
        stored = torch.float32  # what loads them has looked at their values
    if split.images.dtype != stored:
        raise UserError(
            f"dataset={name}: the {part} images are {split.images.dtype}, which can hold NaN or values beyond "
            f"{split.maximum}, where {stored} belongs; the files are damaged."
        )
    found = tuple(split.images.shape[1:])
    if found != shape or len(split.images) != len(split.labels) or not len(split):
        raise UserError(
            f"dataset={name}: the {part} split holds {len(split.images)} images of {found} and {len(split.labels)} "
            f"labels where images of {shape}, one label each, belong; the files are damaged."
        )
    if isinstance(split.images, Rows) or stored == torch.float32:
        pass  # any of a byte's values is one; vectors have any
    elif int(split.images.min()) < 0 or int(split.images.max()) > split.maximum:
        raise UserError(
            f"dataset={name}: the {part} images hold values from {int(split.images.min())} to "
            f"{int(split.images.max())}, not from 0 to {split.maximum}; the files are damaged."
        )
    if int(split.labels.min()) < 0 or int(split.labels.max()) >= classes:
        raise UserError(
            f"dataset={name}: the {part} labels reach from {int(split.labels.min())} to {int(split.labels.max())}, "
            f"not from 0 to {classes - 1}; the files are damaged."
        )
