"""Pictures as numbers: decoded once, by several threads, into one file that later starts map into memory.

Whatever the number of threads, picture i is at place i. Only what is read of the file is in memory.
"""

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy
from PIL import Image
from tqdm import tqdm

from lipnet.data.fetching import alone_fetching
from lipnet.data.own.listing import Pictures, some
from lipnet.errors import UserError, reason_of
from lipnet.runs.cores import available_cores

log = logging.getLogger("lipnet")

_FORMAT = 1  # of the cache: another way to decode is another number
_TOGETHER = 64  # pictures a thread takes at a time
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # of eight bits a channel or less


def decoded(
    key: str, parts: Sequence[Pictures], size: tuple[int, int], resized: bool, channels: int, cache: str,
    hidden: bool | None = None,
) -> numpy.ndarray:  # fmt: skip
    """All pictures, ``(count, channels, height, width)``, uint8, in their order.

    Args:
        key: the configuration's key that names the pictures, with its value, for messages.
        size: height and width. Where ``resized``, a picture is scaled until it covers that, and cut around its centre;
            else every picture must have it.
        cache: the folder below which the file is kept.
        hidden: tqdm's ``disable``.

    Raises:
        UserError: listing every picture that cannot be used.
    """
    shape = (sum(part.count for part in parts), channels, *size)
    told = [_FORMAT, shape, resized, *((str(part.folder), part.state) for part in parts)]
    name = hashlib.sha256(repr(told).encode(errors="surrogateescape")).hexdigest()[:24]
    folder = Path(os.path.abspath(os.path.expanduser(cache))) / "decoded"
    file = folder / f"{name}.npy"
    with contextlib.suppress(OSError, ValueError):  # missing, or cut off
        return _mapped(file, shape)
    try:
        with alone_fetching(name, folder):
            with contextlib.suppress(OSError, ValueError):  # another process was first
                return _mapped(file, shape)
            part = file.with_name(f".{name}.{os.getpid()}.part")
            try:
                target = numpy.lib.format.open_memmap(part, mode="w+", dtype=numpy.uint8, shape=shape)
                _decode(key, parts, target, resized, hidden)
                target.flush()
                os.replace(part, file)
            finally:
                part.unlink(missing_ok=True)
            return _mapped(file, shape)
    except OSError as error:
        log.warning("%s: pictures are decoded anew at each start, since none can be kept there (%s)", folder, error)
        kept = numpy.empty(shape, dtype=numpy.uint8)
        _decode(key, parts, kept, resized, hidden)
        return kept


def _mapped(file: Path, shape: tuple[int, ...]) -> numpy.ndarray:
    found: numpy.ndarray = numpy.load(file, mmap_mode="c")  # what is written to it stays out of the file
    if found.shape != shape or found.dtype != numpy.uint8:
        raise ValueError
    return found


def _decode(key: str, parts: Sequence[Pictures], target: numpy.ndarray, resized: bool, hidden: bool | None) -> None:
    problems: list[str] = []
    count = 0
    with (
        ThreadPoolExecutor(available_cores()) as threads,
        tqdm(total=len(target), unit="picture", desc="decoding", disable=hidden, leave=False) as bar,
    ):
        waiting: list[Any] = []
        for start, folder, names in _pieces(parts):
            waiting.append(threads.submit(_decode_some, start, folder, names, target, resized))
            if len(waiting) > 4 * available_cores():  # no more names than that are out at a time
                found = waiting.pop(0).result()
                count, problems = count + len(found), [*problems, *found[: 20 - len(problems)]]
                bar.update(_TOGETHER)
        for piece in waiting:
            found = piece.result()
            count, problems = count + len(found), [*problems, *found[: 20 - len(problems)]]
            bar.update(_TOGETHER)
    if problems:
        raise UserError(f"{key}: {count:,} of {len(target):,} pictures cannot be used: {some(problems, count)}.")


def _pieces(parts: Sequence[Pictures]) -> Iterator[tuple[int, Path, list[str]]]:
    """Names in pieces, each with the number of its first and its folder."""
    start = 0
    for part in parts:
        names: list[str] = []
        for name in part.names():
            names.append(name)
            if len(names) == _TOGETHER:
                yield start, part.folder, names
                start, names = start + len(names), []
        if names:
            yield start, part.folder, names
            start += len(names)


def _decode_some(start: int, folder: Path, names: list[str], target: numpy.ndarray, resized: bool) -> list[str]:
    """Fills a piece; returns what is wrong with which picture."""
    problems = []
    for place, name in enumerate(names, start):
        try:
            target[place] = _pixels(folder / name, target.shape[1:], resized)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = reason_of(error, 100)
            problems.append(f"{folder.name}/{name} ({reason})")
    return problems


def _pixels(path: Path, shape: tuple[int, ...], resized: bool) -> numpy.ndarray:
    """One picture, ``(channels, height, width)``.

    Raises:
        ValueError: its pixels or its size are not what they should be.
        OSError: it cannot be read.
    """
    channels, height, width = shape
    with Image.open(path) as picture:
        if picture.mode not in _MODES:
            raise ValueError(f"its mode is {picture.mode}, not one of eight bits a channel")
        image = picture.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        if not resized:
            raise ValueError(
                f"{image.width}x{image.height}, and the first picture is {width}x{height}: dataset.image_size=N makes "
                "all NxN"
            )
        image = _covering(image, width, height)
    pixels = numpy.asarray(image, dtype=numpy.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _covering(image: Image.Image, width: int, height: int) -> Image.Image:
    """The picture scaled until it covers the size, cut around its centre."""
    scale = max(width / image.width, height / image.height)
    size = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return image.crop((left, top, left + width, top + height))
