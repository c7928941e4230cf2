"""Checks that turn one raw config value into a typed one, or say in words what is allowed.

A check is a function ``value -> value`` that raises ``ValueError("must be ...")``.
"""

import dataclasses
import difflib
import math
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

Check = Callable[[Any], Any]


def checked(check: Check) -> Any:
    """A dataclass field whose value goes through ``check``."""
    return dataclasses.field(metadata={"check": check})


def number(
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
    at_most: float = math.inf,
    fractions: bool = False,
) -> Check:
    """A finite float within the given bounds; with ``fractions``, also written as ``36/255``."""
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">", above), (">=", at_least), ("<", below), ("<=", at_most))
        if math.isfinite(bound)
    ]
    wanted = " ".join(["must be a finite number", " and ".join(bounds)]).strip()
    wanted += ", or a fraction such as 36/255" * fractions

    def check(value: Any) -> float:
        if fractions and isinstance(value, str):
            try:
                value = radius_value(value)
            except ValueError:
                raise ValueError(wanted) from None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(wanted)
        if not (above < value < below and at_least <= value <= at_most):
            raise ValueError(wanted)
        return float(value)

    return check


def whole(at_least: int, at_most: float = math.inf) -> Check:
    """An integer within the given bounds."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ValueError(f"must be a whole number >= {at_least}")
        if value > at_most:
            raise ValueError(f"must be a whole number <= {at_most}")
        return value

    return check


def boolean(value: Any) -> bool:
    """True or false, not 0 or 1."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def text(value: Any) -> str:
    """A non-empty text."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be a non-empty text")
    return value


def path(value: Any) -> str:
    """The name of a file or folder, ``~`` expanded; a number is one too (the runs of a sweep are numbered)."""
    return os.path.expanduser(text(str(value) if type(value) is int else value))


def one_of(*options: str) -> Check:
    """One of a few texts."""

    def check(value: Any) -> str:
        if value not in options:
            raise ValueError(f"must be one of {', '.join(options)}")
        return value

    return check


def some_of(*options: str) -> Check:
    """A list of different texts among a few; it may be empty."""
    wanted = f"must be a list of different names among {', '.join(options)}"

    def check(value: Any) -> list[str]:
        if not isinstance(value, Sequence) or isinstance(value, str) or len(set(map(str, value))) < len(value):
            raise ValueError(wanted)
        for entry in map(str, value):
            if entry not in options:
                close = difflib.get_close_matches(entry, options, n=1, cutoff=0.5)
                hint = f" did you mean {close[0]}?" if close else ""
                raise ValueError(f"{entry} is not there;{hint} it {wanted}")
        return list(value)

    return check


def optional(inner: Check) -> Check:
    """``inner``, or null."""

    def check(value: Any) -> Any:
        try:
            return None if value is None else inner(value)
        except ValueError as error:
            raise ValueError(f"{error}, or null") from None

    return check


def list_of(inner: Check, length: int | None = None, at_least: int = 0) -> Check:
    """A list whose entries pass ``inner``."""

    def check(value: Any) -> list:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError("must be a list, such as [1,2]")
        if length is not None and len(value) != length:
            raise ValueError(f"must have {length} entries")
        if len(value) < at_least:
            raise ValueError(f"must have at least {at_least} {'entry' if at_least == 1 else 'entries'}")
        try:
            return [inner(entry) for entry in value]
        except ValueError as error:
            raise ValueError(f"every entry {error}") from None

    return check


def radii(value: Any) -> list[str]:
    """L2 radii in raw pixels, as written: numbers or fractions such as ``36/255``; results are keyed by this text."""
    wanted = "must be a list of different radii > 0, numbers or fractions such as [0.3,36/255]"
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError(wanted)
    texts = [str(entry) for entry in value]
    try:
        values = [radius_value(entry) for entry in texts]
    except ValueError:
        raise ValueError(wanted) from None
    if len(set(values)) < len(values) or not all(math.isfinite(entry) and entry > 0 for entry in values):
        raise ValueError(wanted)
    return texts


def radii_or_none(value: Any) -> list[str] | None:
    """``radii``, or null where nothing is classified."""
    return None if value is None else radii(value)


def radius_value(written: str) -> float:
    """``"36/255" -> 0.1411...``; ``ValueError`` where that is no finite number."""
    try:  # no fraction of 1e999999999: it has a thousand million digits
        value = float(Fraction(written) if "/" in written else written)
    except (ValueError, ZeroDivisionError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{written} is no finite number")
    return value
