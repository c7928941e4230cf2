"""Gradients of single examples at the end of training, of several configurations beside each other."""

import math
from typing import TYPE_CHECKING

from lipnet.display.bars import draw_bars
from lipnet.display.canvas import blank_figure
from lipnet.results.drawing import Named, finite, mean, of_table, place_of_layer
from lipnet.results.groups import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SLOPES = {"margin": math.sqrt(2)}  # of a difference of two outputs; that of one output is 1
_FAR = 1.5  # times the largest norm: a bound beyond that is left out
Columns = dict[str, list[float]]  # "inputs/margin" or "weights/0_BCOPConv2d" -> quantiles


def per_example(named: Named, title: str) -> "Figure | None":
    """Norms at the input, a bar for each configuration, with its proved bound; then a panel for each, by layer."""
    shown = {label: columns for label, group in named if (columns := _columns(group))}
    if not shown:
        return None
    lipschitz = {label: _lipschitz(group) for label, group in named}
    functions = list(dict.fromkeys(name for columns in shown.values() for name in _part(columns, "inputs")))
    through = {label: _part(columns, "weights") for label, columns in shown.items()}
    widths = [1 + 0.45 * len(shown)] * len(functions) + [0.8 + 0.3 * len(layers) for layers in through.values()]
    figure = blank_figure(figsize=(max(6.0, 1 + sum(widths)), 4.3), layout="constrained")
    figure.suptitle(f"{title}: gradients of single examples after training")
    panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    for axes, function in zip(panels, functions, strict=False):
        tag = f"inputs/{function}"
        bars = {label: columns[tag] for label, columns in shown.items() if tag in columns}
        draw_bars(axes, list(bars), list(bars.values()))
        bounds = {label: lipschitz[label] * _SLOPES.get(function, 1.0) for label in bars}
        _draw_bounds(axes, bars, bounds)
        axes.set_title(f"{function}, at the input", fontsize=9)
    panels[0].set_ylabel("norm of the gradient")
    _draw_through(list(panels[len(functions) :]), through, functions[-1] if functions else "")
    return figure


def _draw_bounds(axes: "Axes", bars: Columns, bounds: dict[str, float]) -> None:
    """A dashed line over each bar where its bound is."""
    top = max(values[-1] for values in bars.values())
    for place, bound in enumerate(bounds.values(), start=1):
        if bound <= _FAR * top:
            axes.plot([place - 0.4, place + 0.4], [bound, bound], "--", color="black", linewidth=1)
    axes.set_ylim(bottom=0)


def _draw_through(panels: "list[Axes]", through: dict[str, Columns], function: str) -> None:
    """A panel for each configuration, all of them of one scale."""
    values = [value for layers in through.values() for quantiles in layers.values() for value in quantiles]
    least, greatest = min(values, default=0.0), max(values, default=0.0)
    for axes, (label, layers) in zip(panels, through.items(), strict=True):
        draw_bars(axes, list(map(place_of_layer, layers)), list(layers.values()))
        axes.set_title(f"{label}\n{function}, by each layer's weight", fontsize=9)
        if greatest > 10 * least > 0:
            axes.set_yscale("log")
            axes.set_ylim(least / 1.2, greatest * 1.2)
        else:
            axes.set_ylim(0, 1.05 * greatest or 1.0)


def _part(columns: Columns, kind: str) -> Columns:
    """The columns of ``inputs`` or of ``weights``, without that word."""
    return {name.partition("/")[2]: values for name, values in columns.items() if name.startswith(f"{kind}/")}


def _columns(group: Group) -> Columns:
    """The quantiles at the end of training, averaged over the runs that left them."""
    nothing: Columns = {}
    tables: list[Columns] = []
    for run in group.runs:
        table = of_table(run.directory / "per_example.csv", _last_epoch, nothing)
        if table and (not tables or _shape(table) == _shape(tables[0])):  # a damaged one has others
            tables.append(table)
    averaged = {}
    for name in tables[0] if tables else ():
        averaged[name] = [mean(found) for found in zip(*(table[name] for table in tables), strict=True)]
    return averaged


def _shape(table: Columns) -> dict[str, int]:
    return {name: len(values) for name, values in table.items()}


def _last_epoch(rows: list[dict[str, str]]) -> Columns:
    last = max((int(row["epoch"]) for row in rows), default=0)
    of_last = [row for row in rows if int(row["epoch"]) == last]
    if of_last and [finite(row["quantile"]) for row in of_last[:: len(of_last) - 1 or 1]] != [0, 1]:
        raise ValueError("its last epoch is not whole")
    names = [name for name in (rows[0] if rows else ()) if name not in ("epoch", "quantile")]
    if rows and not names:
        raise ValueError("no gradients")
    return {name: [finite(row[name]) for row in of_last] for name in names}


def _lipschitz(group: Group) -> float:
    """The largest proved constant of the group's runs."""
    found = [run.results.get("lipschitz_upper_bound") for run in group.runs]
    return max((value for value in found if isinstance(value, float)), default=math.inf)
