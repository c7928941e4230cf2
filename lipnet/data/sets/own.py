"""Labelled data of the user's own: pictures in folders, arrays, tables."""

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from lipnet.data.images import Split
from lipnet.data.own import arrays as own_arrays
from lipnet.data.own import image_folder as own_folder
from lipnet.data.own import table as own_table
from lipnet.data.own.decoding import decoded
from lipnet.data.own.parting import held_out
from lipnet.data.rows import Rows
from lipnet.errors import UserError
from lipnet.options.facts import with_found
from lipnet.options.images import Arrays, ImageFolder, OwnDataset, Table


def image_folder(option: ImageFolder) -> tuple[Split, Split]:
    """Pictures in a folder for each class."""
    option = with_found(option)
    tree = own_folder.listed(option)
    assert option.shape is not None
    size = option.shape[1], option.shape[2]
    resized = option.image_size is not None
    pixels = decoded(f"dataset.root={option.root}", tree.parts, size, resized, option.channels, option.cache)
    labels = _repeated([part.count for part in tree.train])
    if not tree.test:
        return _parts(Rows(torch.from_numpy(pixels)), labels, 255, option)
    tested = _repeated([part.count for part in tree.test])
    images, first = torch.from_numpy(pixels), len(labels)
    whole = Rows(images, torch.arange(first)), Rows(images, torch.arange(first, len(images)))
    return _split(whole[0], labels, 255), _split(whole[1], tested, 255)


def arrays(option: Arrays) -> tuple[Split, Split]:
    """Images or vectors in files of NumPy's."""
    option = with_found(option)
    there = own_arrays.loaded(option)
    stored = {name: _stored(array) for name, array in there.items() if name.startswith("x")}
    labels = {name: _numbered(array.tolist(), option, name) for name, array in there.items() if name.startswith("y")}
    maximum = 255 if stored["x_train"].dtype == torch.uint8 else 1
    box = _box(*stored.values()) if stored["x_train"].dim() == 2 else None
    if "x_test" not in stored:
        return _parts(stored["x_train"], labels["y_train"], maximum, option, box)
    train, test = (_split(stored[f"x_{part}"], labels[f"y_{part}"], maximum, box) for part in ("train", "test"))
    return train, test


def table(option: Table) -> tuple[Split, Split]:
    """A table of numbers, in its own units."""
    option = with_found(option)
    _, numbers, labels = own_table.loaded(option)
    stored = torch.from_numpy(numbers.copy())
    return _parts(stored, _numbered(labels, option, str(option.target)), 1, option, _box(stored))


def _stored(array: numpy.ndarray) -> Tensor:
    """Pixels of eight bits as they are, all else as float32."""
    kind = numpy.uint8 if array.dtype == numpy.uint8 and array.ndim == 4 else numpy.float32
    return torch.from_numpy(numpy.array(array, dtype=kind, order="C"))


def _box(*parts: Tensor) -> tuple[Tensor, float]:
    """What attacks stay in, in place of [0, 1]: a cube that holds all vectors."""
    whole = torch.cat(parts)
    low, high = whole.amin(0), whole.amax(0)
    return low, (1 + 1e-6) * float((high - low).max()) or 1.0  # rounded up


def _numbered(labels: Sequence[Any], option: OwnDataset, name: str) -> Tensor:
    """Labels as numbers of classes."""
    places = {label: number for number, label in enumerate(option.classes or ())}
    unknown = sorted({str(label) for label in labels} - set(places))
    if unknown:
        raise UserError(f"dataset={option.name}: {name} has {', '.join(unknown[:10])}, none of the run's classes.")
    return torch.tensor([places[str(label)] for label in labels])


def _repeated(counts: list[int]) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def _split(images: Any, labels: Tensor, maximum: int, box: tuple[Tensor, float] | None = None) -> Split:
    return Split(images, labels, maximum, torch.arange(len(labels)), box=box)


def _parts(
    images: Any, labels: Tensor, maximum: int, option: OwnDataset, box: tuple[Tensor, float] | None = None
) -> tuple[Split, Split]:
    """``option.test`` of each class for the test split, the rest for training."""
    test = torch.from_numpy(held_out(labels.numpy(), option.test, option.seed, option.classes or ()))
    whole = _split(images, labels, maximum, box)
    return whole.take((~test).nonzero()[:, 0]), whole.take(test.nonzero()[:, 0])
