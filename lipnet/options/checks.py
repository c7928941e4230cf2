"""Checks that turn one raw config value into a typed one, or say in words what is allowed."""

import dataclasses
import difflib
import math
import os
import sys
from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from typing import Any


@dataclasses.dataclass(frozen=True)
class Check:
    """A function ``value -> value`` that raises ``ValueError("must be ...")``.

    Attributes:
        wanted: what is allowed, in the words of messages and of the comments in ``conf/``.
        convert: ``value -> value``; raises ``ValueError`` where it is not allowed. Its text, if any, stands before the
            rest of the message.
    """

    wanted: str
    convert: Callable[[Any], Any]

    def __call__(self, value: Any) -> Any:
        try:
            return self.convert(value)
        except ValueError as error:
            raise ValueError(f"{error}must be {self.wanted}") from None


def checked(check: Check, default: Any = dataclasses.MISSING, found: bool = False) -> Any:
    """A dataclass field whose value goes through ``check``.

    Args:
        default: of a key of a plugin's option; those of lipnet's own have theirs in ``conf/``.
        found: where it is null, a run finds it from its data and records it.
    """
    metadata = {"check": check, "found": found}
    if isinstance(default, list):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


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
    wanted = " ".join(["a finite number", " and ".join(bounds)]).strip()
    wanted += ", or a fraction such as 36/255" * fractions

    def convert(value: Any) -> float:
        if fractions and isinstance(value, str):
            value = _radius(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
            raise ValueError
        if not (above < value < below and at_least <= value <= at_most):
            raise ValueError
        return float(value)

    return Check(wanted, convert)


def whole(at_least: int, at_most: float = math.inf) -> Check:
    """An integer within the given bounds."""
    return _whole(at_least, at_most, f" and <= {at_most}" if math.isfinite(at_most) else "")


def seed(bits: int) -> Check:
    """An integer that a generator takes as a seed."""
    return _whole(0, 2**bits - 1, f" and < 2^{bits}")


def _whole(at_least: int, at_most: float, upper: str) -> Check:
    def convert(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not at_least <= value <= at_most:
            raise ValueError
        return value

    return Check(f"a whole number >= {at_least}{upper}", convert)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


boolean = Check("true or false", _boolean)  # not 0 or 1
text = Check("a non-empty text", _text)
# ``~`` is expanded; a number is a name too: the runs of a sweep are numbered
path = Check("a path", lambda value: os.path.expanduser(_text(str(value) if type(value) is int else value)))


def one_of(*options: str) -> Check:
    """One of a few texts."""

    def convert(value: Any) -> str:
        if value not in options:
            raise ValueError
        return value

    return Check(f"one of {', '.join(options)}", convert)


def either(*numbers: int) -> Check:
    """One of a few whole numbers."""

    def convert(value: Any) -> int:
        if isinstance(value, bool) or value not in numbers:
            raise ValueError
        return int(value)

    return Check(" or ".join(map(str, numbers)), convert)


def registered(wanted: str, names: Callable[[], Sequence[str]]) -> Check:
    """One of the names that there are when it is checked: others may be registered after the check was made."""

    def convert(value: Any) -> str:
        there = names()
        if value not in there:
            close = difflib.get_close_matches(str(value), there, n=1, cutoff=0.5)
            hint = f" did you mean {close[0]}?" if close else ""
            raise ValueError(f"not one of {', '.join(there)};{hint} it ")
        return value

    return Check(wanted, convert)


def some_of(options: Collection[str]) -> Check:
    """A list of different texts among these, such as the keys of a table, as they are when it is checked; or empty."""

    def convert(value: Any) -> list[str]:
        if not isinstance(value, Sequence) or isinstance(value, str) or len(set(map(str, value))) < len(value):
            raise ValueError
        for entry in map(str, value):
            if entry not in options:
                close = difflib.get_close_matches(entry, options, n=1, cutoff=0.5)
                hint = f" did you mean {close[0]}?" if close else ""
                raise ValueError(f"{entry} is not there;{hint} it ")
        return list(value)

    return Check(f"a list of different names among {', '.join(options)}", convert)


def optional(inner: Check) -> Check:
    """``inner``, or null."""
    return Check(f"{inner.wanted}, or null", lambda value: None if value is None else inner.convert(value))


def list_of(inner: Check, length: int | None = None, at_least: int = 0) -> Check:
    """A list whose entries pass ``inner``."""
    count = f" of {length}" if length is not None else f" of at least {at_least}" if at_least else ""

    def convert(value: Any) -> list:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError
        if len(value) < at_least or (length is not None and len(value) != length):
            raise ValueError
        return [inner.convert(entry) for entry in value]

    return Check(f"a list{count}, each entry {inner.wanted}", convert)


def _radii(value: Any) -> list[str]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError
    texts = [str(entry) for entry in value]
    values = [_radius(entry) for entry in texts]
    if len(set(values)) < len(values) or not all(entry > 0 for entry in values):
        raise ValueError
    return texts


# L2 radii in raw pixels, as written: results are keyed by this text.
radii = Check("a list of different radii > 0, numbers or fractions such as [0.3,36/255]", _radii)
# Null is for data that nothing classifies, whose user is told so.
radii_or_none = Check(radii.wanted, lambda value: None if value is None else _radii(value))


def _radius(written: str) -> float:
    try:
        return radius_value(written)
    except ValueError:
        raise ValueError from None  # the check says the rest


def radius_value(written: str) -> float:
    """``"36/255" -> 0.1411...``; ``ValueError`` where that is no finite number."""
    try:  # no fraction of 1e999999999: it has a thousand million digits
        value = float(Fraction(written) if "/" in written else written)
    except (ValueError, ZeroDivisionError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{written} is no finite number")
    return value
