"""A report over many runs as one HTML file: tables, figures, every run. It needs nothing beside it, and prints.

What the page looks like stands in ``report.html.j2``, ``report.css`` and ``report.js``; what it says is gathered here.
"""

import io
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lipnet import __version__
from lipnet.results.collect import Run
from lipnet.results.compare import Row, Table
from lipnet.results.groups import Group, group_runs
from lipnet.results.layout import body, header, text_columns
from lipnet.results.measures import Measure
from lipnet.results.run_figures import FIGURES, IN_TRAINING, by_network, label_groups
from lipnet.results.scores import score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HERE = Path(__file__).parent
_CURVES = 10  # configurations in a figure: as many as can be told apart
_CAPTIONS = {
    "certified_accuracy": "No perturbation up to the radius changes so many predictions (proved); markers: attacks.",
    "clean_against_certified": "Top right is best.",
    "score_against_key": "Against each key whose values are numbers; a line joins runs that differ in it alone.",
    "training_curves": "Epoch by epoch; unfinished runs as far as they are. Bands: from least to greatest seed.",
    "score_against_seconds": "A line a run, unfinished ones too; seconds of training steps, not of evaluation.",
    "singular_values": "Orthogonal layers have all of them at 1. Bars: all, 10 to 90 and 25 to 75 per cent.",
    "per_example": "Dashed: what is proved. Bars: all examples, 10 to 90 and 25 to 75 per cent.",
    "gradient_norms": "At 1 all the way where layers keep the norm of a gradient.",
}
_WIDE = ("clean_against_certified", "score_against_key", "training_curves", "singular_values", "per_example")


@dataclass(frozen=True)
class _Number:
    """A cell to sort by ``value``, which is empty where there is none."""

    text: str
    value: float | str
    best: bool = False


@dataclass(frozen=True)
class _Line:
    """A row of a table: the cells of its text columns, then the others."""

    texts: list[str]
    numbers: list[_Number]
    ours: bool


@dataclass(frozen=True)
class _Table:
    """A table under the name of its data set; ``columns`` are titles with what their class is besides sortable."""

    dataset: str
    columns: list[tuple[str, str]]
    lines: list[_Line]


@dataclass(frozen=True)
class _Missing:
    """A run that has no place in a table, and why."""

    directory: str
    link: str
    problem: str


@dataclass(frozen=True)
class _Finished:
    """A run in a table; ``score`` and ``seconds`` as they are shown."""

    directory: str
    link: str
    label: str
    seed: str
    score: str
    seconds: str


@dataclass(frozen=True)
class _Drawn:
    """A figure as inline SVG."""

    svg: str
    caption: str
    wide: bool


@dataclass(frozen=True)
class _Network:
    """The figures of one data set and model."""

    title: str
    figures: list[_Drawn]


def page(tables: list[Table], notes: list[str], groups: list[Group], runs: list[Run], place: Path) -> str:
    """The whole document.

    Args:
        notes: lines to stand below the tables.
        groups: the finished runs by configuration.
        runs: all of them, finished or not.
        place: the folder of the file, from which its links start.
    """
    missing = [_Missing(str(run.directory), _link(run, place), run.problem) for run in runs if run.problem]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            total=len(runs),
            style=_own_file("report.css"),
            script=_own_file("report.js"),
            counts=_counts(runs),
            configurations=len(groups),
            written=time.strftime("%Y-%m-%d %H:%M"),
            version=__version__,
            commits=_commits(runs),
            tables=[_shown(table) for table in tables],
            notes=notes,
            missing=missing,
            networks=list(_networks(groups, runs)),
            shared=_shared(groups),
            finished=list(_finished(groups, place)),
        )
    )


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _own_file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _counts(runs: list[Run]) -> dict[str, int]:
    """How many runs have finished, and how many are in every other state that some are in."""
    finished = sum(not run.problem for run in runs)
    unfinished = sum(run.unfinished for run in runs)
    failed = sum(run.results.get("status") == "failed" for run in runs)
    left_out = len(runs) - finished - unfinished - failed
    counts = {"finished": finished}
    for name, count in (("unfinished", unfinished), ("failed", failed), ("left out", left_out)):
        if count:
            counts[name] = count
    return counts


def _commits(runs: list[Run]) -> list[str]:
    """The commits of all runs, where they are few."""
    commits = set()
    for run in runs:
        if run.results.get("git_commit"):
            commits.add(str(run.results["git_commit"])[:10])
    return sorted(commits) if len(commits) <= 3 else []


def _shown(table: Table) -> _Table:
    left = text_columns(table)
    titles = header(table)
    columns = [(title, "") for title in titles[:left]] + [(title, " number") for title in titles[left:]]
    best = {measure: _best(table.rows, measure) for measure in table.measures if measure.is_accuracy}
    lines = []
    for row, cells in zip(table.rows, body(table), strict=True):
        count, *figures = cells[left:]
        numbers = [_Number(count, row.n)]
        for measure, text in zip(table.measures, figures, strict=True):
            found = row.values.get(measure)
            if found is None:
                numbers.append(_Number(text, ""))
            else:
                is_best = row.source == "ours" and found.mean == best.get(measure)
                numbers.append(_Number(text, found.mean, is_best))
        lines.append(_Line(cells[1:left], numbers, row.source == "ours"))
    return _Table(table.rows[0].labels["dataset"], columns[1:], lines)  # the data set stands above the table


def _best(rows: list[Row], measure: Measure) -> float | None:
    """The largest mean of ours, where there is something to be larger than."""
    means = [row.values[measure].mean for row in rows if row.source == "ours" and measure in row.values]
    return max(means) if len(set(means)) > 1 else None


def _networks(groups: list[Group], runs: list[Run]) -> Iterator[_Network]:
    """Every figure that there is data for, by data set and model."""
    begun_groups = group_runs([run for run in runs if not run.problem or run.unfinished])
    finished = by_network(groups)
    for network, begun in by_network(begun_groups).items():
        title, drawn = ", ".join(network), list[_Drawn]()
        places = {group.runs[0].identity: place for place, group in enumerate(finished.get(network, []))}
        begun.sort(key=lambda group: places.get(group.runs[0].identity, len(places)))  # the same colours in all figures
        for name, draw in FIGURES.items():
            same = begun if name in IN_TRAINING else finished.get(network, [])
            shown, note = (same, "") if name == "score_against_key" else _foremost(same)
            figure = draw(list(label_groups(shown)), title) if shown else None
            if figure is not None:
                prefix = f"f{len(drawn)}-{re.sub(r'[^a-z0-9]+', '-', title.lower())}-"
                wide = name in _WIDE and figure.get_figwidth() > 8
                drawn.append(_Drawn(_svg(figure, prefix), _CAPTIONS[name] + note, wide))
        if drawn:
            yield _Network(title, drawn)


def _foremost(groups: list[Group]) -> tuple[list[Group], str]:
    """The configurations with the largest score, as many as a figure can show; and what to say of the others."""
    measure = score(groups)
    if len(groups) <= _CURVES:
        return groups, ""
    if measure is None:
        return groups[:_CURVES], f" {_CURVES} of {len(groups)} configurations."
    written: dict[float, str] = {}
    means: list[float] = []
    for group in groups:
        found = group.statistics().get(measure)
        means.append(0.0 if found is None else found.mean)
        for run in group.runs:
            written.update(run.written)
    by_score = [group for _, group in sorted(zip(means, groups, strict=True), key=lambda pair: -pair[0])]
    note = f" The {_CURVES} of {len(groups)} configurations with the largest {measure.short(written)}."
    return sorted(by_score[:_CURVES], key=groups.index), note


def _svg(figure: "Figure", prefix: str) -> str:
    """Inline SVG with its text as text; names get a prefix, since all figures share one document."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", text)


def _shared(groups: list[Group]) -> list[tuple[str, str]]:
    """The keys, with their values, that are the same in all of several configurations."""
    if len(groups) < 2:
        return []
    shared = set(groups[0].config.items())
    for group in groups[1:]:
        shared &= set(group.config.items())
    return sorted(shared)


def _finished(groups: list[Group], place: Path) -> Iterator[_Finished]:
    """Every finished run."""
    measure = score(groups)
    for network, same in by_network(groups).items():
        for label, group in label_groups(same):
            for run in group.runs:
                yield _Finished(
                    directory=str(run.directory),
                    link=_link(run, place),
                    label=f"{', '.join(network)}, {label}",
                    seed=run.seed,
                    score=_number(run.measures.get(measure) if measure else None, 4),
                    seconds=_number(run.results.get("train_seconds"), 1),
                )


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _link(run: Run, place: Path) -> str:
    return quote(os.fsencode(os.path.relpath(run.directory.resolve(), place.resolve())))
