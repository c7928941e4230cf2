"""Tables of many runs: one table for each data set, one row for each configuration."""

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lipnet.errors import UserError
from lipnet.options.checks import radius_value
from lipnet.results.collect import Run
from lipnet.results.groups import Group, varying_keys, varying_labels
from lipnet.results.measures import Measure, Statistic
from lipnet.results.paper import PaperRow, paper_rows

_MODELS = ("fc", "small", "large")


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        labels: column -> text.
        source: ``ours``, a release of the paper's code, or a difference.
        values: what was measured; the mean of a difference is signed and has no spread.
        n: how many seeds stand behind it; 0 for a difference.
        arithmetic: in which the network is evaluated that its certified accuracies are of; empty where not known.
    """

    labels: dict[str, str]
    source: str
    values: dict[Measure, Statistic]
    n: int
    arithmetic: str = ""

    @property
    def is_certified(self) -> bool:
        """Whether it has a certified accuracy; a GAN has none."""
        return any(measure.name == "certified_accuracy" for measure in self.values)


@dataclass(frozen=True)
class Table:
    """Rows of one data set with their columns."""

    labels: list[str]
    measures: list[Measure]
    rows: list[Row]
    written: dict[float, str]

    @property
    def arithmetic(self) -> str:
        """The arithmetic in which all our rows are certified; empty where they differ or it is not known."""
        found = {row.arithmetic for row in self.rows if row.source == "ours" and row.is_certified}
        return found.pop() if len(found) == 1 else ""

    @property
    def with_sources(self) -> bool:
        return any(row.source != "ours" for row in self.rows)


def filter_runs(runs: list[Run], filters: Iterable[str]) -> list[Run]:
    """Runs that have one of the given values for every given key.

    Args:
        filters: ``KEY=VALUE``; several with the same key are alternatives.

    Raises:
        UserError: a filter is not ``KEY=VALUE``, no run has the key, or none has the value.
    """
    wanted: dict[str, list[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--filter {text}: write KEY=VALUE, such as --filter conv=bcop.")
        wanted.setdefault(key, []).append(value)
    kept = runs
    for key, values in wanted.items():
        present = sorted({run.facts[key] for run in runs if key in run.facts})
        if not present:
            known = sorted({name for run in runs for name in run.facts})
            raise UserError(f"--filter {key}: no run has this key;{_nearest(key, known)}")
        for value in values:
            if not any(_same(value, other) for other in present):
                raise UserError(f"--filter {key}={value}: no run has this value; there are {', '.join(present[:20])}.")
        kept = [run for run in kept if _has_one_of(run, key, values)]
    return kept


def _has_one_of(run: Run, key: str, values: list[str]) -> bool:
    return any(_same(value, run.facts.get(key)) for value in values)


def _same(given: str, value: str | None) -> bool:
    if value is None or given == value:
        return given == value
    try:
        return float(given) == float(value)
    except ValueError:
        return given.replace(" ", "") == value.replace(" ", "")


def build_tables(
    groups: list[Group], sort: str | None = None, reverse: bool = False, columns: str | None = None, paper: bool = False
) -> list[Table]:
    """One table for each data set.

    Args:
        sort: a label, a measure or a key of the configuration; measures largest first.
        columns: the measures to show, separated by commas; ``all`` or ``None``: all.
        paper: put the paper's values under each row that has some.

    Raises:
        UserError: there is no such column.
    """
    written = _written(groups)
    present: set[Measure] = set()
    for group in groups:
        for run in group.runs:
            present |= set(run.measures)
    measures = sorted(present, key=_order)
    shown = measures
    if columns and columns != "all":
        shown = [_measure(name, measures, written, groups) for name in columns.split(",")]
    by_dataset: dict[str, list[Group]] = {}
    for group in sorted(groups, key=by_name):
        by_dataset.setdefault(group.labels["dataset"], []).append(group)
    tables = []
    for same in by_dataset.values():
        if sort is not None:
            same = _sorted(same, sort, measures, written)
        if reverse:
            same = same[::-1]
        tables.append(_table(same, shown, written, paper))
    return tables


def _table(groups: list[Group], measures: list[Measure], written: dict[float, str], paper: bool) -> Table:
    keys = varying_keys(groups)
    rows: list[Row] = []
    for group in groups:
        labels = group.labels | varying_labels(group, keys)
        ours = Row(labels, "ours", group.statistics(), len(group.runs), group.arithmetic)
        rows.append(ours)
        for published in paper_rows(group) if paper else ():
            rows += _beside(ours, published)
    present: set[Measure] = set()
    for row in rows:
        if row.source == "ours":
            present |= set(row.values)
    shown = [measure for measure in measures if measure in present]
    return Table(["dataset", "model", "method", *keys], shown, rows, written)


def _beside(ours: Row, published: PaperRow) -> list[Row]:
    """The paper's line, and the difference: ours minus the paper's."""
    values: dict[Measure, Statistic] = {}
    difference: dict[Measure, Statistic] = {}
    for measure, found in published.values.items():
        for own, mine in ours.values.items():
            if _is(own, measure):
                values[own] = found
                difference[own] = Statistic(mine.mean - found.mean, math.nan, 0)
    labels = {label: ours.labels[label] for label in ("dataset", "model", "method")}
    return [
        Row(labels, f"paper, {published.release}", values, published.n),
        Row(labels, "difference", difference, 0),
    ]


def _is(one: Measure, other: Measure) -> bool:
    if one.radius is None or other.radius is None:
        return one == other
    return one.name == other.name and math.isclose(one.radius, other.radius, rel_tol=1e-9)


def _written(groups: list[Group]) -> dict[float, str]:
    """Each radius as most of the runs write it."""
    counts: dict[float, dict[str, int]] = {}
    for group in groups:
        for run in group.runs:
            for radius, text in run.written.items():
                of_radius = counts.setdefault(radius, {})
                of_radius[text] = of_radius.get(text, 0) + 1
    written = {}
    for radius, texts in counts.items():
        written[radius] = max(sorted(texts), key=lambda text: texts[text])
    return written


def _order(measure: Measure) -> tuple[int, str, float, str]:
    return measure.order


def by_name(group: Group) -> tuple[Any, ...]:
    """The order of rows: data set, model, method, then the other keys, numbers by their value."""
    labels = group.labels
    model = labels["model"]
    rank = _MODELS.index(model) if model in _MODELS else len(_MODELS)
    rest = tuple(_natural(value) for _, value in group.runs[0].identity[1:])
    return labels["dataset"], rank, model, labels["method"], rest


def _natural(text: str) -> list[tuple[int, float, str]]:
    """Numbers inside of texts by their value: 9 before 10."""
    keys = []
    for place, part in enumerate(re.split(r"(\d+\.?\d*(?:e-?\d+)?)", text)):
        is_number = place % 2 == 1  # the parts between the numbers, empty ones too, have the even places
        keys.append((0, float(part), "") if is_number else (1, 0.0, part))
    return keys


def _sorted(groups: list[Group], sort: str, measures: list[Measure], written: dict[float, str]) -> list[Group]:
    texts = {"n", "dataset", "model", "method"}
    for group in groups:
        texts.update(group.runs[0].facts)
    if sort not in texts:
        measure = _measure(sort, measures, written, groups, sorted(texts))
        return sorted(groups, key=lambda group: -_mean(group, measure))
    if sort == "n":
        return sorted(groups, key=lambda group: -len(group.runs))
    return sorted(groups, key=lambda group: _natural((group.labels | group.runs[0].facts).get(sort, "")))


def _mean(group: Group, measure: Measure) -> float:
    found = group.statistics().get(measure)
    return -math.inf if found is None else found.mean


def _measure(
    name: str, measures: list[Measure], written: dict[float, str], groups: list[Group], others: Iterable[str] = ()
) -> Measure:
    """The measure that a name means: ``certified@1.58`` or ``certified_accuracy@1.58``, ``@36/255`` or its value.

    As columns are titled, too: ``certified_float64@1.58``, where the network of some group is certified in that.
    """
    wanted, at, text = name.strip().partition("@")
    radius = _radius(text) if at else None
    arithmetics = sorted({group.arithmetic for group in groups})
    for spelling in ("", *arithmetics):
        for measure in measures:
            named = wanted in (Measure(measure.name).short({}, spelling), measure.name)
            if named and _is(measure, Measure(measure.name, radius)):
                return measure
    known = [measure.short(written) for measure in measures]
    near = _nearest(name, [*known, *others])
    listed = f" There are {', '.join(known)}." if "did you mean" in near else ""
    raise UserError(f"{name}: no such column;{near}{listed}")


def _radius(text: str) -> float:
    try:
        return radius_value(text)
    except (ValueError, ZeroDivisionError):
        return math.nan


def _nearest(given: str, names: list[str]) -> str:
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    return f" did you mean {close[0]}?" if close else f" there are {', '.join(names[:30])}."
