"""Arguments as torch's own layers take them: whole numbers of any type, pairs of equal ones, and paddings."""

import operator
from typing import Any

import torch

Size = int | tuple[int, int]  # of both axes
Padding = str | int | tuple[int, int]
Device = torch.device | str | None
LOW_PRECISION = (torch.float16, torch.bfloat16)


def whole_number(value: Any, name: str, layer: str) -> int:
    """A size as ``int``, from any integer type, ``numpy.int64`` included; ``bool`` and ``float`` are none."""
    try:
        size = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        size = 0
    if size < 1:
        raise ValueError(f"{layer} needs {name} to be a whole number >= 1, got {value!r}")
    return size


def equal_sizes(value: Any, name: str, layer: str) -> int:
    """The size of both axes, from one number or from a pair of equal ones."""
    if not isinstance(value, tuple | list):
        return whole_number(value, name, layer)
    if len(value) != 2 or value[0] != value[1]:
        raise ValueError(f"{layer} needs the same {name} on both axes, got {value!r}")
    return whole_number(value[0], name, layer)


def check_same_padding(padding: Any, same: tuple[int, int], layer: str) -> None:
    """Refuses what is not "same": ``same`` pixels (before, after), given by name, by number or as a pair of numbers."""
    pair = tuple(padding) if isinstance(padding, tuple | list) else (padding, padding)
    numbers = not any(isinstance(number, bool | float) for number in pair)
    if padding != "same" and not (numbers and pair == (same[0], same[0]) == same):
        before, after = same
        pixels = f"{before}" if before == after else f"{before} before and {after} after each axis"
        raise ValueError(
            f"{layer} takes padding='same' only, got {padding!r}: any other loses or repeats pixels "
            f"('same' is here {pixels})"
        )


def image_sides(value: Any, layer: str) -> tuple[int, int]:
    """Height and width, from a pair or from one number for both."""
    sides = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(sides) != 2:
        raise ValueError(f"{layer} needs image_size to be height and width, got {value!r}")
    height, width = (whole_number(side, "image_size", layer) for side in sides)
    return height, width


def check_dtype(dtype: torch.dtype | None, layer: str) -> None:
    """Refuses integer and complex parameters, of which no norm is bounded."""
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"{layer} needs a real floating-point dtype, got {dtype}")
