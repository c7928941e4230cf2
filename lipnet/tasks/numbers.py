"""Which numbers a ``results.json`` may hold, told by the records that declare it. Imports no torch."""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

# Path of a table -> the keys that it has: a row for each table within it, where it holds tables.
Keys = Mapping[str, Sequence[Sequence[str]]]


@dataclass(frozen=True)
class Numbers:
    """Dotted keys of the numbers of a task's ``results.json``, beside those of every run.

    Attributes:
        measures: what one may want to optimise.
        beside: what describes the run rather than its network: seconds, counts.
        validation: those below ``validation.``, of a run that trains.
        exported: those that ``task=export`` adds of such a run.
    """

    measures: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    validation: list[str] = field(default_factory=list)
    exported: list[str] = field(default_factory=list)


def numbers_of(record: type, keys: Keys, beside: Sequence[str] = (), without: type | None = None) -> Numbers:
    """The numbers of a ``TypedDict``: its measures, and what is beside them.

    Args:
        keys: those of each table in it, which its type does not tell.
        beside: the entries of the record, and tables, that are no measures.
        without: a record whose entries are left out.
    """
    left_out = get_type_hints(without) if without is not None else {}
    own = {name: kind for name, kind in get_type_hints(record).items() if name not in left_out}
    measures: list[str] = []
    others: list[str] = []
    for name, kind in own.items():
        (others if name in beside else measures).extend(_within(name, kind, keys))
    return Numbers(measures, others)


def at_radii(radii: Sequence[str], *names: str) -> list[str]:
    """``certified_accuracy.0.3``: each name at each radius."""
    return [f"{name}.{radius}" for name in names for radius in radii]


def _within(path: str, kind: Any, keys: Keys) -> Iterator[str]:
    for each in _alternatives(kind):
        if each in (int, float):
            yield path
        elif is_typeddict(each):
            for name, inner in get_type_hints(each).items():
                yield from _within(f"{path}.{name}", inner, keys)
        elif get_origin(each) is dict and _holds_numbers(each):
            yield from _in_table(path, get_args(each)[1], keys, keys[path])


def _in_table(path: str, kind: Any, keys: Keys, levels: Sequence[Sequence[str]]) -> Iterator[str]:
    first, *rest = levels
    for key in first:
        if rest:
            yield from _in_table(f"{path}.{key}", get_args(kind)[1], keys, rest)
        elif is_typeddict(kind):
            yield from _within(f"{path}.{key}", kind, keys)
        else:
            yield f"{path}.{key}"


def _holds_numbers(table: Any) -> bool:
    values = _alternatives(get_args(table)[1])
    return any(
        each in (int, float) or is_typeddict(each) or (get_origin(each) is dict and _holds_numbers(each))
        for each in values
    )


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
