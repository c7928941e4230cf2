"""Two sets of samples of the user's own, each in disjoint parts."""

import numpy
import torch
from torch import Tensor

from lipnet.data.own.decoding import decoded
from lipnet.data.own.samples import SIDES, array_of, part_sizes, pictures_of
from lipnet.data.pairs.pair import Pair, pair_stream
from lipnet.errors import UserError
from lipnet.options.facts import with_found
from lipnet.options.pairs import Samples

_PARTS = ("training", "selection", "evaluation")


def samples(option: Samples) -> Pair:
    """Two sets of samples, of which nothing is known but themselves.

    Training draws from its part again and again; of the others each sample is taken once.

    Raises:
        UserError: they cannot be read, or are not finite.
    """
    option = with_found(option)
    random = pair_stream(option.seed)
    stored = [_loaded(option, side) for side in SIDES]
    parts = [_parted(option, len(values), random) for values in stored]

    def draw(part: str, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        first, second = (
            _drawn(values, rows["training" if part == "range" else part], part, count, random)
            for values, rows in zip(stored, parts, strict=True)
        )
        return first, second

    pictured = stored[0].dtype == numpy.uint8
    return Pair(draw, units="L2 distance between images with pixels in [0, 1]" if pictured else Pair.units)


def _loaded(option: Samples, side: str) -> numpy.ndarray:
    pictures = pictures_of(option, side)
    if pictures is not None:
        assert option.shape is not None
        key, size = f"dataset.{side}={getattr(option, side)}", (option.shape[1], option.shape[2])
        return decoded(key, [pictures], size, option.image_size is not None, option.channels, option.cache)
    array = array_of(option, side)
    if array.dtype.kind == "f" and not bool(numpy.isfinite(array).all()):
        raise UserError(f"dataset.{side}={getattr(option, side)}: holds NaN or infinity.")
    return array


def _parted(option: Samples, count: int, random: torch.Generator) -> dict[str, Tensor]:
    """Rows of each part."""
    order = torch.randperm(count, generator=random)
    return dict(zip(_PARTS, order.split(list(part_sizes(option, count))), strict=True))


def _drawn(values: numpy.ndarray, rows: Tensor, part: str, count: int, random: torch.Generator) -> Tensor:
    """Samples of a part as float64; pixels of eight bits as numbers in [0, 1]."""
    if part in ("training", "range"):
        chosen = torch.randint(len(rows), (count,), generator=random)
    else:
        chosen = torch.randperm(len(rows), generator=random)[:count]
    taken = torch.from_numpy(numpy.asarray(values[rows[chosen].numpy()], dtype=numpy.float64))
    return taken / 255 if values.dtype == numpy.uint8 else taken
