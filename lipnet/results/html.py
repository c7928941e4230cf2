"""A report over many runs as one HTML file: tables, figures, every run. It needs nothing beside it, and prints."""

import html
import io
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

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

_CURVES = 10  # configurations in a figure: as many as can be told apart
_CAPTIONS = {
    "certified_accuracy": "No perturbation up to the radius changes so many predictions (proved); markers: attacks.",
    "clean_against_certified": "Top right is best.",
    "score_against_key": "Against each key whose values are numbers; a line joins runs that differ in it alone.",
    "training_curves": "Epoch by epoch; unfinished runs as far as they are. Bands: from least to greatest seed.",
    "score_against_seconds": "A line a run, unfinished ones too; seconds of training steps, not of evaluation.",
    "singular_values": "Orthogonal layers have all of them at 1. Bars: all, 10 to 90 and 25 to 75 per cent.",
    "gradient_norms": "At 1 all the way where layers keep the norm of a gradient.",
}
_WIDE = ("clean_against_certified", "score_against_key", "training_curves", "singular_values")


def page(tables: list[Table], notes: list[str], groups: list[Group], runs: list[Run], place: Path) -> str:
    """The whole document.

    Args:
        notes: lines to stand below the tables.
        groups: the finished runs by configuration.
        runs: all of them, finished or not.
        place: the folder of the file, from which its links start.
    """
    here = Path(__file__)
    style, script = (here.with_name(f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    missing = [run for run in runs if run.problem]
    parts = [
        *_head(groups, runs),
        *(_table(table) for table in tables),
        *(["<p>No run has finished yet.</p>"] if not tables else []),
        _list("Notes", [html.escape(note) for note in notes]),
        _missing(missing, place),
        *_figures(groups, runs),
        *_appendix(groups, place),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Results of {len(runs)} runs</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(filter(None, parts))
        + f"\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _head(groups: list[Group], runs: list[Run]) -> Iterator[str]:
    finished = sum(not run.problem for run in runs)
    unfinished = sum(run.unfinished for run in runs)
    failed = sum(run.results.get("status") == "failed" for run in runs)
    counts = {"finished": finished, "unfinished": unfinished, "failed": failed}
    counts["left out"] = len(runs) - sum(counts.values())
    shown = ", ".join(f"<b>{count}</b> {name}" for name, count in counts.items() if count or name == "finished")
    commits = sorted({str(run.results["git_commit"])[:10] for run in runs if run.results.get("git_commit")})
    yield "<h1>Results</h1>"
    yield f'<p class="about counts">{shown}; <b>{len(groups)}</b> configurations</p>'
    written = time.strftime("%Y-%m-%d %H:%M")
    of = f" · commit {', '.join(map(html.escape, commits[:3]))}" if 0 < len(commits) <= 3 else ""
    yield f'<p class="about">written {written} by lipnet {__version__}{of}</p>'


def _table(table: Table) -> str:
    titles, left = header(table), text_columns(table)
    kinds = ["" if place < left else "number" for place in range(len(titles))]
    head = "".join(
        f'<th class="{f"sortable {kind}".strip()}">{html.escape(title).replace("@", "<wbr>@")}</th>'
        for title, kind in list(zip(titles, kinds, strict=True))[1:]  # the data set stands above the table
    )
    best = {measure: _best(table.rows, measure) for measure in table.measures if measure.is_accuracy}
    lines = []
    for row, cells in zip(table.rows, body(table), strict=True):
        numbers = [row.n, *(row.values[measure].mean if measure in row.values else "" for measure in table.measures)]
        marked = ["", *(_is_best(row, measure, best) for measure in table.measures)]
        line = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells[1:left])
        line += "".join(
            f'<td class="{f"number {mark}".strip()}" data-value="{number}">{html.escape(cell)}</td>'
            for cell, number, mark in zip(cells[left:], numbers, marked, strict=True)
        )
        lines.append(f'<tr class="other">{line}</tr>' if row.source != "ours" else f"<tr>{line}</tr>")
    title = html.escape(table.rows[0].labels["dataset"])
    return f"<h2>{title}</h2>\n{_scrolled(head, lines)}"


def _scrolled(head: str, lines: list[str]) -> str:
    rows = "\n".join(lines)
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'


def _best(rows: list[Row], measure: Measure) -> float | None:
    """The largest mean of ours, where there is something to be larger than."""
    means = [row.values[measure].mean for row in rows if row.source == "ours" and measure in row.values]
    return max(means) if len(set(means)) > 1 else None


def _is_best(row: Row, measure: Measure, best: dict[Measure, float | None]) -> str:
    found = row.values.get(measure)
    return "best" if row.source == "ours" and found is not None and found.mean == best.get(measure) else ""


def _list(title: str, entries: list[str]) -> str:
    items = "".join(f"<li>{entry}</li>" for entry in entries)
    return f"<h2>{title}</h2>\n<ul>{items}</ul>" if entries else ""


def _missing(runs: list[Run], place: Path) -> str:
    """Failed and unfinished runs, each with its reason."""
    if not runs:
        return ""
    lines = [f'<tr><td>{_link(run, place)}</td><td class="reason problem">{html.escape(run.problem)}</td></tr>'
             for run in runs]  # fmt: skip
    titles = '<th class="sortable">run directory</th><th class="sortable">why it is not in the table</th>'
    return f"<h2>Failed and unfinished</h2>\n{_scrolled(titles, lines)}"


def _figures(groups: list[Group], runs: list[Run]) -> Iterator[str]:
    """Every figure that there is data for, by data set and model."""
    begun_groups = group_runs([run for run in runs if not run.problem or run.unfinished])
    finished = by_network(groups)
    for network, begun in by_network(begun_groups).items():
        title, drawn = ", ".join(network), list[str]()
        places = {group.runs[0].identity: place for place, group in enumerate(finished.get(network, []))}
        begun.sort(key=lambda group: places.get(group.runs[0].identity, len(places)))  # the same colours in all figures
        for name, draw in FIGURES.items():
            same = begun if name in IN_TRAINING else finished.get(network, [])
            shown, note = (same, "") if name == "score_against_key" else _foremost(same)
            figure = draw(list(label_groups(shown)), title) if shown else None
            if figure is not None:
                drawn.append(_figure(name, figure, note, f"f{len(drawn)}-{re.sub(r'[^a-z0-9]+', '-', title.lower())}-"))
        if drawn:
            yield f'<h2>Figures: {html.escape(title)}</h2>\n<div class="figures">'
            yield from drawn
            yield "</div>"


def _foremost(groups: list[Group]) -> tuple[list[Group], str]:
    """The configurations with the largest score, as many as a figure can show; and what to say of the others."""
    measure = score(groups)
    if len(groups) <= _CURVES:
        return groups, ""
    if measure is None:
        return groups[:_CURVES], f" {_CURVES} of {len(groups)} configurations."
    by_score = sorted(groups, key=lambda group: -found.mean if (found := group.statistics().get(measure)) else 0.0)
    written = {radius: text for group in groups for run in group.runs for radius, text in run.written.items()}
    note = f" The {_CURVES} of {len(groups)} configurations with the largest {measure.short(written)}."
    return sorted(by_score[:_CURVES], key=groups.index), note


def _figure(name: str, figure: "Figure", note: str, prefix: str) -> str:
    caption = html.escape(_CAPTIONS[name] + note)
    wide = ' class="wide"' if name in _WIDE and figure.get_figwidth() > 8 else ""
    return f"<figure{wide}>\n{_svg(figure, prefix)}<figcaption>{caption}</figcaption>\n</figure>"


def _svg(figure: "Figure", prefix: str) -> str:
    """Inline SVG with its text as text; names get a prefix, since all figures share one document."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", text)


def _appendix(groups: list[Group], place: Path) -> Iterator[str]:
    """What all configurations share, and every finished run."""
    if not groups:
        return
    shared = set.intersection(*(set(group.config.items()) for group in groups)) if len(groups) > 1 else set()
    entries = [f"<li><code>{html.escape(key)}={html.escape(value)}</code></li>" for key, value in sorted(shared)]
    if entries:
        summary = f"{len(entries)} keys that are the same in all rows"
        yield _folded("Configuration", summary, f"<ul>{''.join(entries)}</ul>")
    measure = score(groups)
    titles = ("run directory", "data set, model, method, keys", "seed", "score", "training, s")
    head = "".join(f'<th class="sortable">{title}</th>' for title in titles)
    lines = [
        f'<tr><td>{_link(run, place)}</td><td class="text">{html.escape(label)}</td><td>{html.escape(run.seed)}</td>'
        f"{_number(run.measures.get(measure) if measure else None, 4)}"
        f"{_number(run.results.get('train_seconds'), 1)}</tr>"
        for network, same in by_network(groups).items()
        for label, group in ((f"{', '.join(network)}, {label}", group) for label, group in label_groups(same))
        for run in group.runs
    ]
    yield _folded("Runs", f"every run in the table ({len(lines)})", _scrolled(head, lines))


def _folded(title: str, summary: str, content: str) -> str:
    """Shown at a click; printed only when shown."""
    return f"<section><h2>{title}</h2>\n<details><summary>{summary}</summary>{content}</details></section>"


def _number(value: float | None, digits: int) -> str:
    shown = "" if value is None else f"{value:.{digits}f}"
    return f'<td class="number" data-value="{shown}">{shown}</td>'


def _link(run: Run, place: Path) -> str:
    target = quote(os.fsencode(os.path.relpath(run.directory.resolve(), place.resolve())))
    return f'<a href="{target}">{html.escape(str(run.directory))}</a>'
