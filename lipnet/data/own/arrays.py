"""Images or vectors in NumPy's files: one ``.npz``, or one ``.npy`` of examples and one of labels."""

import hashlib
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy

from lipnet.data.own.listing import readable_file
from lipnet.data.own.parting import held_out
from lipnet.errors import UserError, reason_of
from lipnet.options.images import Arrays

_NAMES = ("x_train", "y_train", "x_test", "y_test")
_WHAT = "a .npz file with x_train, y_train and perhaps x_test, y_test; or a .npy file, and its labels as dataset.labels"
_PIECE = 2**22
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def found(option: Arrays) -> dict[str, Any]:
    """What the keys of arrays are where they are null."""
    arrays = loaded(option)
    examples, labels = arrays["x_train"], arrays["y_train"]
    shape = examples.shape[1:]
    channels = shape[0]
    mean, std = [0.0] * channels, [1.0] * channels
    classes = option.classes or [str(label) for label in _sorted(labels, arrays.get("y_test"))]
    if len(shape) == 1:
        learned = examples
        if "x_test" not in arrays:
            places = {label: number for number, label in enumerate(classes)}
            numbers = numpy.array([places.get(str(label), -1) for label in labels.tolist()])
            learned = examples[~held_out(numbers, option.test, option.seed, classes)]
        mean, std = standard(learned)
    return {
        "classes": classes, "shape": list(shape), "content": content(option), "mean": mean, "std": std,
    }  # fmt: skip


def standard(examples: numpy.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each column, as float32 has them; 1 for a column that never changes."""
    mean, std = examples.mean(0, dtype=numpy.float64), examples.std(0, dtype=numpy.float64)
    std = numpy.where(std > 1e-12 * numpy.maximum(1, numpy.abs(mean)), std, 1.0)
    return [float(f"{value:.6g}") for value in mean], [float(f"{value:.6g}") for value in std]


def loaded(option: Arrays) -> dict[str, numpy.ndarray]:
    """The arrays by their names in an ``.npz``: images ``(n, channels, height, width)``, or vectors ``(n, d)``.

    Raises:
        UserError: with everything that is wrong with them.
    """
    path = readable_file("dataset.file", option.file, _WHAT)
    arrays = _read(option, path)
    problems = []
    for part in ("train", "test"):
        if f"x_{part}" in arrays:
            problems += _problems(part, arrays[f"x_{part}"], arrays[f"y_{part}"])
    if problems:
        raise UserError(*(f"dataset.file={option.file}: {problem}" for problem in problems))
    arrays = {name: _in_front(array) if name.startswith("x") else array.ravel() for name, array in arrays.items()}
    shapes = {arrays[name].shape[1:] for name in ("x_train", "x_test") if name in arrays}
    if len(shapes) > 1:
        listed = " and ".join(f"{name} of {arrays[name].shape[1:]}" for name in ("x_train", "x_test"))
        raise UserError(f"dataset.file={option.file}: {listed}; examples of both parts must have one shape.")
    classes = len(numpy.unique(arrays["y_train"]))
    if classes < 2:
        raise UserError(f"dataset.file={option.file}: y_train has one class, and a classifier needs two.")
    return arrays


def content(option: Arrays) -> str:
    """Tells the files."""
    told = hashlib.sha256()
    for given in (option.file, option.labels):
        if given is not None:
            told.update(digest_of(Path(os.path.expanduser(given))).encode())
    return told.hexdigest()[:16]


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    told = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            told.update(piece)
    return told.hexdigest()


def read_npy(key: str, given: str | None, what: str) -> numpy.ndarray:
    """The array of a ``.npy`` file, mapped into memory.

    Raises:
        UserError: it cannot be read, or holds objects.
    """
    path = readable_file(key, given, what)
    try:
        found: numpy.ndarray = numpy.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(found, numpy.ndarray):
            raise ValueError("a .npz file where a .npy belongs")
    except _UNREADABLE as error:
        raise UserError(f"{key}={given}: cannot be read ({reason_of(error, 120)}); give {what}.") from None
    return found


def _read(option: Arrays, path: Path) -> dict[str, numpy.ndarray]:
    given = f"dataset.file={option.file}"
    if path.suffix == ".npy":
        if option.labels is None:
            raise UserError(f"{given}: dataset.labels=null; give the labels of these examples, a .npy file.")
        return {
            "x_train": read_npy("dataset.file", option.file, _WHAT),
            "y_train": read_npy("dataset.labels", option.labels, "a .npy file of labels, one for each example"),
        }
    if option.labels is not None:
        raise UserError(f"dataset.labels={option.labels}: a .npz file has its labels in it; leave it out.")
    try:
        with numpy.load(path, allow_pickle=False) as file:
            if not isinstance(file, numpy.lib.npyio.NpzFile):
                raise ValueError("no .npz file")
            names = list(file)
            missing = [name for name in _NAMES[: 4 if {"x_test", "y_test"} & set(names) else 2] if name not in names]
            if missing:
                there = ", ".join(names) or "nothing"
                raise UserError(f"{given}: has no {', '.join(missing)}, but {there}; give {_WHAT}.")
            return {name: file[name] for name in _NAMES if name in names}
    except _UNREADABLE as error:
        raise UserError(f"{given}: cannot be read ({reason_of(error, 120)}); give {_WHAT}.") from None


def _problems(part: str, examples: numpy.ndarray, labels: numpy.ndarray) -> list[str]:
    problems = []
    if examples.ndim not in (2, 3, 4) or 0 in examples.shape:
        problems.append(f"x_{part} has the shape {examples.shape}; examples are (n, d), (n, h, w) or (n, c, h, w).")
    if examples.dtype.kind not in "uif" or (examples.ndim > 2 and not _is_picture(examples)):
        problems.append(
            f"x_{part} holds {examples.dtype}{_range(examples)}; images are uint8, or floats from 0 to 1; vectors are "
            "numbers."
        )
    elif not bool(numpy.isfinite(examples).all()):
        problems.append(f"x_{part} holds NaN or infinity.")
    if labels.ndim not in (1, 2) or labels.size != len(labels) or labels.dtype.kind not in "uiUS":
        problems.append(
            f"y_{part} holds {labels.dtype} of shape {labels.shape}; labels are (n,) whole numbers or texts."
        )
    elif len(labels) != len(examples):
        problems.append(f"{len(examples):,} examples in x_{part}, and {len(labels):,} labels in y_{part}.")
    return problems


def _range(examples: numpy.ndarray) -> str:
    if examples.dtype.kind in "uif" and examples.size:
        return f" from {examples.min():g} to {examples.max():g}"
    return ""


def _is_picture(examples: numpy.ndarray) -> bool:
    if examples.dtype == numpy.uint8:
        return True
    return examples.dtype.kind == "f" and bool(examples.size) and examples.min() >= 0 and examples.max() <= 1


def _in_front(examples: numpy.ndarray) -> numpy.ndarray:
    """Channels before height and width: one where there is no axis of them, moved where it is the last one."""
    if examples.ndim == 3:
        return examples[:, None]
    if examples.ndim == 4 and examples.shape[3] in (1, 3) and examples.shape[1] not in (1, 3):
        return examples.transpose(0, 3, 1, 2)
    return examples


def _sorted(*labels: numpy.ndarray | None) -> list[Any]:
    there = [part.ravel() for part in labels if part is not None]
    return sorted({label for part in there for label in numpy.unique(part).tolist()})
