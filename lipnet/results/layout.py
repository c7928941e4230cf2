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
    return "\n\n".join([*(_aligned(table, width) for table in tables), *_block("\n".join(notes))]) + "\n"


def markdown(tables: list[Table], notes: list[str]) -> str:
    """Pipe tables; notes as a list."""

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"

    blocks = []
    for table in tables:
        marks = ["---"] * text_columns(table) + ["---:"] * (1 + len(table.measures))
        blocks.append("\n".join([line(header(table)), line(marks), *map(line, body(table))]))
    return "\n\n".join([*blocks, *_block("\n".join(f"- {note}" for note in _flat(notes)))]) + "\n"


def latex(tables: list[Table], notes: list[str]) -> str:
    r"""``tabular`` environments for ``\usepackage{booktabs}``; notes as comments."""
    blocks = []
    for table in tables:
        columns = "l" * text_columns(table) + "r" * (1 + len(table.measures))
        lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", _latex_row(header(table)), "\\midrule"]
        lines += [_latex_row(cells) for cells in body(table)]
        blocks.append("\n".join([*lines, "\\bottomrule", "\\end{tabular}"]))
    comments = "\n".join(f"% {note}" for note in ["needs \\usepackage{booktabs}", *_flat(notes)])
    return "\n\n".join([*blocks, comments]) + "\n"


def _latex_row(cells: list[str]) -> str:
    return f"{' & '.join(map(_escaped, cells))} \\\\"


def comma_separated(tables: list[Table], notes: list[str]) -> str:
    """One table of full-precision numbers: fractions, radii, seconds; each with its standard deviation.

    A measure that only some runs of a row have has its own count. ``certified_in`` is the arithmetic in which the
    network is evaluated that ``certified_accuracy`` is of.
    """
    labels = list(dict.fromkeys(label for table in tables for label in table.labels))
    told = ["certified_in"] if any(row.arithmetic for table in tables for row in table.rows) else []
    measures = sorted({measure for table in tables for measure in table.measures}, key=lambda measure: measure.order)
    sources = ["source"] if any(table.with_sources for table in tables) else []
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    uneven = _uneven(tables)
    titles = [*labels, *sources, *told, "n"]
    for measure in measures:
        title = measure.key(tables[0].written)
        titles += [title, f"{title}_std"]
        if measure in uneven:
            titles.append(f"{title}_n")
    writer.writerow(titles)
    for table in tables:
        for row in table.rows:
            cells: list[object] = [row.labels.get(label, "") for label in labels]
            if sources:
                cells.append(row.source)
            if told:
                cells.append(row.arithmetic)
            cells.append(row.n or "")
            for measure in measures:
                cells += _numbers(row.values.get(measure), measure in uneven)
            writer.writerow(cells)
    return buffer.getvalue()


def _uneven(tables: list[Table]) -> set[Measure]:
    """The measures that only some runs of a row have."""
    found = set()
    for table in tables:
        for row in table.rows:
            if row.n:
                found |= {measure for measure, value in row.values.items() if value.n != row.n}
    return found


FORMATS: dict[str, Callable[[list[Table], list[str]], str]] = {
    "terminal": terminal, "markdown": markdown, "csv": comma_separated, "latex": latex,
}  # fmt: skip


def _block(text: str) -> list[str]:
    return [text] if text else []


def _flat(notes: list[str]) -> list[str]:
    return [" ".join(line.split()) for note in notes for line in note.splitlines()]


def _numbers(found: Statistic | None, with_count: bool) -> list[object]:
    numbers: list[object] = ["", "", ""]
    if found is not None:
        numbers = [found.mean, "" if math.isnan(found.std) else found.std, found.n or ""]
    return numbers if with_count else numbers[:2]


def text_columns(table: Table) -> int:
    """How many columns from the left are text."""
    return len(table.labels) + table.with_sources


def header(table: Table) -> list[str]:
    """The titles of a table's columns."""
    sources = ["source"] if table.with_sources else []
    return [
        *table.labels, *sources, "n",
        *(measure.short(table.written, table.arithmetic) for measure in table.measures),
    ]  # fmt: skip


def body(table: Table) -> list[list[str]]:
    """Its cells, row by row."""
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
    mean, std = f"{unit * found.mean:.{digits}f}", f"{unit * found.std:.{digits}f}"
    spread = f" ± {std}" if found.n > 1 and (measure.is_accuracy or float(std)) else ""
    return f"{mean}{spread}" + (f" (n={found.n})" if found.n != row.n else "")


def _digits(measure: Measure, value: float) -> int:
    if measure.is_accuracy:
        return 2
    if measure.name.endswith("seconds"):
        return 0 if abs(value) >= 100 else 1
    return 7 if measure.name == "lipschitz_upper_bound" and value < 10 else 4


def _by_importance(table: Table) -> list[int]:
    """Places of the columns: data set, model, method, source; n and the first two measures; the keys; the others."""
    left, end = text_columns(table), text_columns(table) + 1 + len(table.measures)
    names = [0, 1, 2, *([left - 1] if table.with_sources else [])]
    keys = [place for place in range(left) if place not in names]
    return [*names, *range(left, min(left + 3, end)), *keys, *range(min(left + 3, end), end)]


def _aligned(table: Table, width: int | None) -> str:
    left = text_columns(table)
    columns = [
        Column(title, list(cells), place < left)
        for place, (title, *cells) in enumerate(zip(header(table), *body(table), strict=True))
    ]
    remedy = "--columns all shows all, --columns KEY,... some."
    titles, rows, below = fitting_table(columns, width, remedy, _by_importance(table))
    return "\n".join([*titles, "-" * max(map(len, [*titles, *rows])), *rows, *below])


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
