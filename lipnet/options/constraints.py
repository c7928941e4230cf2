"""Constraints on a network's outputs, as they are written in YAML. Imports no torch.

A constraint is a mapping with ``inputs``, a box, and one of

- ``permitted``, ``forbidden``: intervals ``[low, high]`` of the output; an end is a number, ``null`` for none, a list
  of coefficients ``[a, b, c]`` of ``a + b x + c x²`` of the only coordinate, or a list of such lists, one for each
  coordinate, whose polynomials are added;
- ``curves``: ends, near one of which the output should be;
- ``classes``: the classes that are permitted;
- ``function``: the name of a function that ``lipnet.tasks.bayes.constraints`` has registered.
"""

import difflib
import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lipnet.options.checks import Check

KINDS = ("permitted", "forbidden", "curves", "classes", "function")
Interval = tuple[float, float]


def _constraints(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError
    return [_constraint(f"constraint {number}", entry) for number, entry in enumerate(value, start=1)]


constraints = Check(f"a list of constraints, each of inputs and one of {', '.join(KINDS)}", _constraints)


def _constraint(name: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, Mapping) or "inputs" not in entry:
        raise ValueError(f"{name} has no inputs; it ")
    given = [kind for kind in KINDS if kind in entry]
    unknown = [str(key) for key in entry if key not in ("inputs", *KINDS)]
    if unknown or len(given) != 1:
        near = difflib.get_close_matches(unknown[0], KINDS, n=1) if unknown else []
        hint = f", did you mean {near[0]}?" if near else ";"
        raise ValueError(f"{name} has {', '.join(unknown or given) or 'inputs alone'}{hint} it ")
    kind = given[0]
    box, content = entry["inputs"], entry[kind]
    if not _is_list(box) or not all(side is None or _is_pair(side) for side in box):
        raise ValueError(f"{name}: its inputs are no list of one [low,high], or null, for each coordinate; it ")
    for side in box:
        if side is not None and not side[0] < side[1]:
            raise ValueError(f"{name}: no input is between {side[0]} and {side[1]}, an empty region; it ")
    if kind == "function":
        right = isinstance(content, str) and bool(content)
    elif kind == "classes":
        right = _is_list(content) and all(type(number) is int and number >= 0 for number in content)
    elif kind == "curves":
        right = _is_list(content) and all(_is_end(curve, len(box)) for curve in content)
    else:
        right = _is_list(content) and all(_is_interval(interval, len(box)) for interval in content)
    if not right:
        raise ValueError(f"{name}: its {kind} cannot be read; it ")
    if kind in ("permitted", "forbidden"):
        for low, high in content:
            if isinstance(low, int | float) and isinstance(high, int | float) and not low < high:
                raise ValueError(f"{name}: the ends of [{low},{high}] cross; it ")
    return {"inputs": [None if side is None else list(map(float, side)) for side in box], kind: content}


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_pair(value: Any) -> bool:
    return _is_list(value) and len(value) == 2 and all(map(_is_number, value))


def _is_interval(value: Any, coordinates: int) -> bool:
    if not _is_list(value) or len(value) != 2 or value[0] is None is value[1]:
        return False
    return all(end is None or _is_end(end, coordinates) for end in value)


def _is_end(value: Any, coordinates: int) -> bool:
    if _is_number(value):
        return True
    if not _is_list(value):
        return False
    if all(map(_is_number, value)):
        return coordinates == 1
    return len(value) == coordinates and all(_is_list(each) and all(map(_is_number, each)) for each in value)


def polynomials(end: Any, coordinates: int) -> list[list[float]]:
    """An end as coefficients, a list for each coordinate; the values of all of them are added."""
    if isinstance(end, int | float):
        return [[float(end)], *([0.0] for _ in range(coordinates - 1))]
    if isinstance(end[0], int | float):
        return [list(map(float, end))]
    return [list(map(float, each)) for each in end]


def end_at(end: Any, point: Sequence[float], missing: float) -> float:
    """The value of an end at a point; ``missing`` of an end that there is none of."""
    if end is None:
        return missing
    total = 0.0
    for coefficients, x in zip(polynomials(end, len(point)), point, strict=True):
        value = 0.0
        for coefficient in reversed(coefficients):
            value = value * x + coefficient
        total += value
    return total


def permitted_at(constraint: Mapping[str, Any], point: Sequence[float], reach: float = 0.0) -> list[Interval] | None:
    """The permitted intervals at a point; ``None`` of a constraint that is of another kind.

    Args:
        reach: how far from a curve is still near it.
    """
    if "curves" in constraint:
        centres = [end_at(curve, point, math.nan) for curve in constraint["curves"]]
        return [(centre - reach, centre + reach) for centre in centres]
    given = constraint.get("permitted") or constraint.get("forbidden")
    if given is None:
        return None
    ends = [(end_at(low, point, -math.inf), end_at(high, point, math.inf)) for low, high in given]
    return ends if "permitted" in constraint else _complement(ends)


def _complement(forbidden: Iterable[Interval]) -> list[Interval]:
    found, reached = [], -math.inf
    for low, high in sorted(forbidden):
        if low > reached:
            found.append((reached, low))
        reached = max(reached, high)
    return [*found, (reached, math.inf)] if reached < math.inf else found


def problems_of(
    given: Sequence[Mapping[str, Any]], coordinates: int, classes: int, reach: float = 1.0
) -> Iterator[str]:
    """What is wrong with constraints on a network of so many inputs, and classes (0: one output that is no class).

    Args:
        reach: how far from a curve an output may be.
    """
    for number, constraint in enumerate(given, start=1):
        name = f"dataset.constraints, constraint {number}"
        if len(constraint["inputs"]) != coordinates:
            yield f"{name}: its inputs have {len(constraint['inputs'])} entries, and there are {coordinates} inputs."
            return
        if ("classes" in constraint) != bool(classes) and "function" not in constraint:
            wanted = "classes" if classes else "permitted, forbidden or curves"
            yield f"{name}: this data set has {'classes' if classes else 'numbers'} as outputs; use {wanted}."
            return
        if "classes" in constraint and not set(constraint["classes"]) < set(range(classes)):
            yield f"{name}: classes={constraint['classes']} are not some, but not all, of 0 to {classes - 1}."
            return
        crossing = [(ends, point) for point in _points(constraint["inputs"]) for ends in _crossing(constraint, point)]
        if crossing:
            (low, high), point = max(crossing, key=lambda found: found[0][0] - found[0][1])
            yield f"{name}: at {_shown(point)} the ends of an interval cross, {low:g} and {high:g}."
            return
    yield from _contradictions(given, reach)


def _crossing(constraint: Mapping[str, Any], point: Sequence[float]) -> Iterator[Interval]:
    for low, high in constraint.get("permitted") or constraint.get("forbidden") or ():
        ends = end_at(low, point, -math.inf), end_at(high, point, math.inf)
        if not ends[0] < ends[1]:
            yield ends


def _contradictions(given: Sequence[Mapping[str, Any]], reach: float) -> Iterator[str]:
    """Constraints of which no output keeps all, at a point of some of their regions."""
    boxes = [constraint["inputs"] for constraint in given]
    both = [_overlap(one, other) for one, other in itertools.combinations(boxes, 2)]
    told: set[tuple[int, ...]] = set()
    for point in itertools.chain.from_iterable(_points(box) for box in (*boxes, *both) if box is not None):
        there = tuple(number for number in range(len(given)) if _holds_at(boxes[number], point))
        if there in told or _possible([given[number] for number in there], point, reach):
            continue
        told.add(there)
        names = " and ".join(str(number + 1) for number in there)
        which = f"constraints {names} contradict each other" if len(there) > 1 else f"constraint {names} cannot be kept"
        yield f"dataset.constraints: {which} at {_shown(point)}; no output is permitted there."


def _overlap(one: Sequence[Any], other: Sequence[Any]) -> list[Any] | None:
    """Where two boxes are both; ``None`` where they do not meet. It may be thinner than either."""
    sides: list[Any] = []
    for first, second in zip(one, other, strict=True):
        if first is None or second is None:
            sides.append(first if second is None else second)
        else:
            low, high = max(first[0], second[0]), min(first[1], second[1])
            if low > high:
                return None
            sides.append([low, high])
    return sides


def _possible(given: Sequence[Mapping[str, Any]], point: Sequence[float], reach: float) -> bool:
    classes = [set(constraint["classes"]) for constraint in given if "classes" in constraint]
    if classes and not set.intersection(*classes):
        return False
    left = [(-math.inf, math.inf)]
    for constraint in given:
        permitted = permitted_at(constraint, point, reach)
        if permitted is not None:
            left = _common(left, permitted)
    return bool(left)


def _common(first: Sequence[Interval], second: Sequence[Interval]) -> list[Interval]:
    both = [(max(one[0], other[0]), min(one[1], other[1])) for one in first for other in second]
    return [interval for interval in both if interval[0] < interval[1]]


def _holds_at(box: Sequence[Any], point: Sequence[float]) -> bool:
    return all(side is None or side[0] <= x <= side[1] for side, x in zip(box, point, strict=True))


def _points(box: Sequence[Any]) -> Iterator[tuple[float, ...]]:
    """A grid on a box; of many coordinates, its middle and its corners in the first few."""
    sides = [(0.0, 1.0) if side is None else (side[0], side[1]) for side in box]
    steps = {1: 101, 2: 11, 3: 5}.get(len(sides), 0)
    if steps:
        axes = [[low + (high - low) * step / (steps - 1) for step in range(steps)] for low, high in sides]
        yield from itertools.product(*axes)
        return
    middle = [(low + high) / 2 for low, high in sides]
    yield tuple(middle)
    for corner in itertools.product(*sides[:8]):
        yield (*corner, *middle[8:])


def _shown(point: Sequence[float]) -> str:
    return f"x = {point[0]:g}" if len(point) == 1 else f"x = ({', '.join(f'{x:g}' for x in point)})"
