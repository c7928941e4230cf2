"""Tables as text: for a terminal, Markdown, CSV, LaTeX."""

import csv
import io
import math
from collections.abc import Callable

from lipnet.display.fitting import Column, fitting_table
from lipnet.results.compare import Row, Table
from lipnet.results.measures import Measure, Statistic

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "–": "--", "≤": r"$\le$",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
}  # fmt: skip


def terminal(tables: list[Table], notes: list[str], width: int | None = None) -> str:
    """Aligned columns, two spaces apart.

    Args:
        width: what a line holds; columns that have no room in it are named below their table.
    """
    blocks = [_aligned(table, width) for table in tables]
    if notes:
        blocks.append("\n".join(notes))
    return _document(blocks)


def markdown(tables: list[Table], notes: list[str]) -> str:
    """Pipe tables; notes as a list."""
    blocks = []
    for table in tables:
        marks = ["---"] * text_columns(table) + ["---:"] * (1 + len(table.measures))
        blocks.append("\n".join(map(_pipe_row, [header(table), marks, *body(table)])))
    if notes:
        blocks.append("\n".join(f"- {line}" for line in _lines(notes)))
    return _document(blocks)


def _pipe_row(cells: list[str]) -> str:
    joined = " | ".join(cell.replace("|", "&#124;") for cell in cells)
    return f"| {joined} |"


def latex(tables: list[Table], notes: list[str]) -> str:
    r"""``tabular`` environments for ``\usepackage{booktabs}``; notes as comments."""
    blocks = []
    for table in tables:
        columns = "l" * text_columns(table) + "r" * (1 + len(table.measures))
        lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", _latex_row(header(table)), "\\midrule"]
        lines += map(_latex_row, body(table))
        blocks.append("\n".join([*lines, "\\bottomrule", "\\end{tabular}"]))
    comments = ["needs \\usepackage{booktabs}", *_lines(notes)]
    blocks.append("\n".join(f"% {comment}" for comment in comments))
    return _document(blocks)


def _latex_row(cells: list[str]) -> str:
    return f"{' & '.join(map(_escaped, cells))} \\\\"


def comma_separated(tables: list[Table], notes: list[str]) -> str:
    """One table of full-precision numbers: fractions, radii, seconds; each with its standard deviation.

    A measure that only some runs of a row have has its own count. ``certified_in`` is the arithmetic in which the
    network is evaluated that ``certified_accuracy`` is of.
    """
    rows = [row for table in tables for row in table.rows]
    labels: dict[str, None] = {}  # of all tables, in their order
    present: set[Measure] = set()
    for table in tables:
        labels.update(dict.fromkeys(table.labels))
        present.update(table.measures)
    measures = sorted(present, key=lambda measure: measure.order)
    uneven = _uneven(rows)
    with_sources = any(table.with_sources for table in tables)
    with_arithmetic = any(row.arithmetic for row in rows)
    titles = list(labels)
    if with_sources:
        titles.append("source")
    if with_arithmetic:
        titles.append("certified_in")
    titles.append("n")
    for measure in measures:
        title = measure.key(tables[0].written)
        titles += [title, f"{title}_std"]
        if measure in uneven:
            titles.append(f"{title}_n")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(titles)
    for row in rows:
        cells: list[object] = [row.labels.get(label, "") for label in labels]
        if with_sources:
            cells.append(row.source)
        if with_arithmetic:
            cells.append(row.arithmetic)
        cells.append(row.n or "")
        for measure in measures:
            cells += _numbers(row.values.get(measure), measure in uneven)
        writer.writerow(cells)
    return buffer.getvalue()


def _uneven(rows: list[Row]) -> set[Measure]:
    """The measures that only some runs of a row have."""
    found = set()
    for row in rows:
        for measure, value in row.values.items():
            if row.n and value.n != row.n:
                found.add(measure)
    return found


FORMATS: dict[str, Callable[[list[Table], list[str]], str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "csv": comma_separated,
    "latex": latex,
}


def _document(blocks: list[str]) -> str:
    return "\n\n".join(blocks) + "\n"


def _lines(notes: list[str]) -> list[str]:
    """The notes line by line, without indentation."""
    return [" ".join(line.split()) for line in "\n".join(notes).splitlines()]


def _numbers(found: Statistic | None, with_count: bool) -> list[object]:
    """The cells of a measure: mean, standard deviation and, where it has a column, how many values."""
    numbers: list[object] = ["", "", ""]
    if found is not None:
        spread = "" if math.isnan(found.std) else found.std
        numbers = [found.mean, spread, found.n or ""]
    return numbers if with_count else numbers[:2]


def text_columns(table: Table) -> int:
    """How many columns from the left are text."""
    return len(table.labels) + table.with_sources


def header(table: Table) -> list[str]:
    """The titles of a table's columns."""
    titles = list(table.labels)
    if table.with_sources:
        titles.append("source")
    titles.append("n")
    for measure in table.measures:
        titles.append(measure.short(table.written, table.arithmetic))
    return titles


def body(table: Table) -> list[list[str]]:
    """The cells of a table, row by row."""
    rows = []
    for row in table.rows:
        cells = [row.labels.get(label, "") for label in table.labels]
        if table.with_sources:
            cells.append(row.source)
        cells.append(str(row.n or ""))
        cells += [_cell(row, measure) for measure in table.measures]
        rows.append(cells)
    return rows


def _cell(row: Row, measure: Measure) -> str:
    """``97.06 ± 0.07``; a difference has its sign; a mean of fewer values than the row's says so."""
    found = row.values.get(measure)
    if found is None:
        return "" if row.source == "difference" else "–"
    digits = _digits(measure, found.mean)
    unit = 100 if measure.is_accuracy else 1
    if row.source == "difference":
        return f"{unit * found.mean:+.{digits}f}".replace("-", "−")
    cell = f"{unit * found.mean:.{digits}f}"
    std = f"{unit * found.std:.{digits}f}"
    if found.n > 1 and (measure.is_accuracy or float(std)):
        cell += f" ± {std}"
    if found.n != row.n:
        cell += f" (n={found.n})"
    return cell


def _digits(measure: Measure, value: float) -> int:
    if measure.is_accuracy:
        return 2
    if measure.name.endswith("seconds"):
        return 0 if abs(value) >= 100 else 1
    return 7 if measure.name == "lipschitz_upper_bound" and value < 10 else 4


def _by_importance(table: Table) -> list[int]:
    """Places of the columns: data set, model, method, source; n and the first two measures; the keys; the others."""
    left, end = text_columns(table), text_columns(table) + 1 + len(table.measures)
    names = [0, 1, 2]
    if table.with_sources:
        names.append(left - 1)
    keys = [place for place in range(left) if place not in names]
    return [*names, *range(left, min(left + 3, end)), *keys, *range(min(left + 3, end), end)]


def _aligned(table: Table, width: int | None) -> str:
    rows = body(table)
    columns = []
    for place, title in enumerate(header(table)):
        columns.append(Column(title, [cells[place] for cells in rows], place < text_columns(table)))
    remedy = "--columns all shows all, --columns KEY,... some."
    titles, lines, below = fitting_table(columns, width, remedy, _by_importance(table))
    rule = "-" * max(map(len, [*titles, *lines]))
    return "\n".join([*titles, rule, *lines, *below])


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
