"""Image data sets as tensors in memory, with their splits."""

import gzip
import os
import pickle
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lipnet.data.augment import crop_and_flip
from lipnet.data.fetching import alone_fetching
from lipnet.data.files import Layout, explain, layout, meant_root
from lipnet.data.randomness import stream
from lipnet.errors import UserError
from lipnet.options.facts import image_facts
from lipnet.options.images import AugmentedDataset, Dataset
from lipnet.options.messages import show
from lipnet.options.registry import load


@dataclass(frozen=True)
class Split:
    """Images of one split, kept in their stored type; batches come as float32 in [0, 1].

    Attributes:
        images: ``(examples, channels, height, width)``, integers from 0 to ``maximum``.
        labels: ``(examples,)``, int64.
        maximum: the stored value that stands for 1.
        indices: each example's number in its original split.
        augment: ``(images, generator) -> images``, applied to training batches.
    """

    images: Tensor
    labels: Tensor
    maximum: int
    indices: Tensor
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.labels.device

    def take(self, indices: Tensor) -> "Split":
        return Split(self.images[indices], self.labels[indices], self.maximum, self.indices[indices], self.augment)

    def to(self, device: torch.device) -> "Split":
        return Split(self.images.to(device), self.labels.to(device), self.maximum, self.indices, self.augment)

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
                images = self.pixels(rows)
                if self.augment is not None:
                    images = self.augment(images, stream(seed, "augmentation", epoch, number))
                yield images, self.labels[rows]


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
    train, test = load_files(config)
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
        augment = partial(crop_and_flip, padding=config.crop, flips=isinstance(config, AugmentedDataset))
    return Splits(Split(train.images, train.labels, train.maximum, train.indices, augment), validation, test)


def load_files(config: Any) -> tuple[Split, Split]:
    """Training and test images as stored; ``config`` has the set's ``name`` and, but for the digits, where it lies.

    Raises:
        UserError: files are missing, cannot be fetched, or are not what they should be.
    """
    train, test = load("dataset", config.name)(config)
    for split, part in ((train, "training"), (test, "test")):
        _check(split, config.name, part)
    return train, test


def digits(config: Any) -> tuple[Split, Split]:
    """Scikit-learn's, 8x8; one fixed split, since no official one exists."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images, labels = torch.from_numpy(data.images).to(torch.uint8)[:, None], torch.from_numpy(data.target)
    everything = Split(images, labels, 16, torch.arange(len(labels)))
    order = torch.randperm(len(labels), generator=stream(20, "digits"))
    return everything.take(order[:1437]), everything.take(order[1437:])


def mnist(config: Any) -> tuple[Split, Split]:
    """Handwritten digits, 28x28."""
    return _torchvision("MNIST", config, lambda data: data.data[:, None])


def fashion_mnist(config: Any) -> tuple[Split, Split]:
    """Pictures of clothes, 28x28."""
    return _torchvision("FashionMNIST", config, lambda data: data.data[:, None])


def cifar10(config: Any) -> tuple[Split, Split]:
    """Ten kinds of things in colour, 32x32."""
    return _torchvision("CIFAR10", config, lambda data: torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous())


def stl10(config: Any) -> tuple[Split, Split]:
    """As in Li et al. 2019: the 5,000 labelled training images, at 64x64."""
    parts = ({"split": "train"}, {"split": "test"})
    return _torchvision("STL10", config, lambda data: _resized(torch.from_numpy(data.data.copy())), parts, "labels")


def _resized(images: Tensor, side: int = 64) -> Tensor:
    """Images of ``side`` pixels, each a weighted mean over what it covers; in pieces, since float32 is four times as
    large.
    """
    size = (side, side)
    pieces = [
        functional.interpolate(piece.float(), size, mode="bilinear", antialias=True) for piece in images.split(500)
    ]
    return torch.cat([piece.round().clamp(0, 255).to(torch.uint8) for piece in pieces])


_UNREADABLE = (
    RuntimeError, OSError, EOFError, ValueError, AssertionError, KeyError, IndexError, TypeError,
    pickle.UnpicklingError, gzip.BadGzipFile, zlib.error,
)  # fmt: skip


def _torchvision(
    name: str,
    config: Any,
    images: Callable[[Any], Tensor],
    parts: tuple[dict[str, Any], ...] = ({"train": True}, {"train": False}),
    labels: str = "targets",
) -> tuple[Split, Split]:
    import torchvision.datasets  # 2 s: only where it is needed

    source = getattr(torchvision.datasets, name)
    root = Path(os.path.abspath(os.path.expanduser(config.root)))

    def load(download: bool) -> list[Split]:
        loaded = [source(root, download=download, **part) for part in parts]
        return [_split(images(part), getattr(part, labels)) for part in loaded]

    try:
        return _loaded(load, layout(source), name, root, config.download)
    except _UNREADABLE as error:
        raise UserError(
            f"dataset.root={config.root}: {config.name} {explain(source, root, error, config.download)}"
        ) from error


def _loaded(
    load: Callable[[bool], list[Split]], laid_out: Layout, name: str, root: Path, download: bool
) -> tuple[Split, Split]:
    """What is there; else what can be fetched, by one process at a time.

    Files that another process is still writing are as good as missing.
    """
    try:
        train, test = load(False)
    except _UNREADABLE:
        if not download or meant_root(laid_out, root) is not None:
            raise
        with alone_fetching(name, root):
            train, test = load(True)
    return train, test


def _split(images: Tensor, targets: Any) -> Split:
    labels = torch.as_tensor(targets, dtype=torch.int64)
    return Split(images, labels, 255, torch.arange(len(labels)))


def _check_classes(train: Split, config: Dataset) -> None:
    """One class has no margin: every network classifies it, and nothing is learned."""
    if int(train.labels.min()) == int(train.labels.max()):
        raise UserError(
            f"dataset={config.name}: all {len(train)} training examples have the label {int(train.labels[0])}; a "
            f"classifier needs two classes (dataset.limit_train={show(config.limit_train)}, of shuffled examples)."
        )


def _check(split: Split, name: str, part: str) -> None:
    shape, classes = image_facts(name)
    if split.images.dtype != torch.uint8:
        raise UserError(
            f"dataset={name}: the {part} images are {split.images.dtype}, which can hold NaN or values beyond "
            f"{split.maximum}, where torch.uint8 belongs; the files are damaged."
        )
    found = tuple(split.images.shape[1:])
    if found != shape or len(split.images) != len(split.labels) or not len(split):
        raise UserError(
            f"dataset={name}: the {part} split holds {len(split.images)} images of {found} and {len(split.labels)} "
            f"labels where images of {shape}, one label each, belong; the files are damaged."
        )
    if int(split.labels.min()) < 0 or int(split.labels.max()) >= classes:
        raise UserError(
            f"dataset={name}: the {part} labels reach from {int(split.labels.min())} to {int(split.labels.max())}, "
            f"not from 0 to {classes - 1}; the files are damaged."
        )
