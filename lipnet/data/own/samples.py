"""Two sets of samples between which a distance is asked for: arrays in ``.npy`` files, or folders of pictures."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy

from lipnet.data.own.arrays import digest_of, read_npy
from lipnet.data.own.listing import Pictures, pictures_in, readable_folder
from lipnet.errors import UserError, reason_of
from lipnet.options.pairs import Samples

SIDES = ("first", "second")
_WHAT = "a .npy file of samples (n, d), (n, h, w) or (n, c, h, w), or a folder of pictures"
_FEWEST = 100  # samples a side


def found(option: Samples) -> dict[str, Any]:
    """What the keys of two sets of samples are where they are null."""
    shapes = {side: shape_of(option, side) for side in SIDES}
    if len({shape[1:] for shape in shapes.values()}) > 1:
        listed = " and ".join(f"dataset.{side} of {shape[1:]}" for side, shape in shapes.items())
        raise UserError(f"{listed}: the distance is between samples of one shape.")
    for side, shape in shapes.items():
        if shape[0] < _FEWEST:
            raise UserError(
                f"dataset.{side}={getattr(option, side)}: {shape[0]} samples, too few to be parted into those for "
                f"training, selection and evaluation; use at least {_FEWEST}."
            )
    fewest = min(shape[0] for shape in shapes.values())
    _, selection, evaluation = part_sizes(option, fewest)
    told = hashlib.sha256("\n".join(_content(option, side) for side in SIDES).encode()).hexdigest()[:16]
    _check_counts(option, selection, evaluation)
    return {
        "shape": list(shapes["first"][1:]), "content": told, "selection_samples": selection,
        "evaluation_samples": evaluation,
    }  # fmt: skip


def part_sizes(option: Samples, count: int) -> tuple[int, int, int]:
    """How many of so many samples are for training, for selection and for evaluation."""
    training = max(1, round(option.training * count))
    selection = max(2, round(option.selection * count))
    return training, selection, count - training - selection


def pictures_of(option: Samples, side: str) -> Pictures | None:
    """The pictures of a side; ``None`` where it is a file.

    Raises:
        UserError: the folder holds anything else, or nothing.
    """
    given = getattr(option, side)
    if given is None or not os.path.isdir(os.path.expanduser(given)):
        return None
    folder = readable_folder(f"dataset.{side}", given, _WHAT)
    try:
        pictures = pictures_in(folder)
    except OSError as error:
        raise UserError(f"dataset.{side}={given}: cannot be read ({error.filename}: {error.strerror}).") from None
    if pictures.number_of_others:
        raise UserError(
            f"dataset.{side}={given}: {pictures.number_of_others:,} files that are no pictures: "
            f"{', '.join(pictures.others)}; move them."
        )
    if not pictures.count:
        raise UserError(f"dataset.{side}={given}: no picture in it; give {_WHAT}.")
    return pictures


def array_of(option: Samples, side: str) -> numpy.ndarray:
    """The samples of a side that is a file; images have an axis of channels.

    Raises:
        UserError: they are no numbers of a shape that samples have.
    """
    given = getattr(option, side)
    array = read_npy(f"dataset.{side}", given, _WHAT)
    if array.ndim not in (2, 3, 4) or 0 in array.shape or array.dtype.kind not in "uif":
        raise UserError(f"dataset.{side}={given}: {array.dtype} of shape {array.shape}; give {_WHAT}.")
    return array[:, None] if array.ndim == 3 else array


def shape_of(option: Samples, side: str) -> tuple[int, ...]:
    """How many samples there are, and the shape of each."""
    pictures = pictures_of(option, side)
    if pictures is None:
        return array_of(option, side).shape
    if option.image_size is not None:
        height = width = option.image_size
    else:
        from PIL import Image

        first = pictures.folder / next(pictures.names())
        try:
            with Image.open(first) as picture:
                height, width = picture.height, picture.width
        except (OSError, ValueError, SyntaxError) as error:
            reason = reason_of(error, 120)
            raise UserError(f"dataset.{side}={getattr(option, side)}: {first} cannot be read ({reason}).") from None
    return pictures.count, option.channels, height, width


def _check_counts(option: Samples, selection: int, evaluation: int) -> None:
    """No sample is used twice."""
    for key, most in (("selection_samples", selection), ("evaluation_samples", evaluation)):
        asked = getattr(option, key)
        if asked is not None and asked > most:
            raise UserError(
                f"dataset.{key}={asked}: there are {most:,} samples a side for that, and none is used twice; use at "
                "most that, or null for all of them."
            )
    if evaluation < 2:
        raise UserError(
            f"dataset.training={option.training:g} and dataset.selection={option.selection:g}: leave {evaluation} "
            "samples for the evaluation; use less."
        )


def _content(option: Samples, side: str) -> str:
    pictures = pictures_of(option, side)
    return digest_of(Path(os.path.expanduser(getattr(option, side)))) if pictures is None else pictures.content
