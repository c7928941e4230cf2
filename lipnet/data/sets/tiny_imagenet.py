"""TinyImageNet as it is unpacked: the folder tiny-imagenet-200 with wnids.txt, train and val."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch

from lipnet.data.images import Split
from lipnet.data.own.decoding import decoded
from lipnet.data.own.listing import Pictures, pictures_in
from lipnet.data.rows import Rows
from lipnet.errors import UserError

_FOLDER, _SIDE = "tiny-imagenet-200", 64


def tiny_imagenet(config: Any) -> tuple[Split, Split]:
    """100,000 training pictures of 200 classes; the test split is the 10,000 of its validation part, whose labels are
    public.

    Raises:
        UserError: it is not there, or not whole.
    """
    folder = Path(os.path.abspath(os.path.expanduser(config.root))) / _FOLDER
    try:
        names = (folder / "wnids.txt").read_text().split()
        places = {name: number for number, name in enumerate(sorted(names))}
        train = [pictures_in(folder / "train" / name / "images") for name in sorted(names)]
        told = (folder / "val" / "val_annotations.txt").read_text().splitlines()
        labels = dict(line.split("\t")[:2] for line in told if line)
        val = pictures_in(folder / "val" / "images")
        tested = [places[labels[name]] for name in val.names()]
    except (OSError, UnicodeDecodeError, KeyError, ValueError) as error:
        reason = (
            f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else f"{type(error).__name__} {error}"
        )
        raise UserError(
            f"dataset.root={config.root}: tiny_imagenet is missing in {folder}, or not whole ({reason}); unpack "
            "tiny-imagenet-200.zip there."
        ) from None
    parts = [*map(_plain, train), _plain(val)]
    pixels = torch.from_numpy(
        decoded(f"dataset.root={config.root}", parts, (_SIDE, _SIDE), False, 3, getattr(config, "cache", config.root))
    )
    learned = torch.repeat_interleave(torch.arange(len(train)), torch.tensor([part.count for part in train]))
    first = len(learned)
    return (
        Split(Rows(pixels, torch.arange(first)), learned, 255, torch.arange(first)),
        Split(Rows(pixels, torch.arange(first, len(pixels))), torch.tensor(tested), 255, torch.arange(len(tested))),
    )


def _plain(part: Pictures) -> Pictures:
    """Without the files beside the pictures."""
    return dataclasses.replace(part, others=(), number_of_others=0)
