"""Figures over many runs: for each configuration the mean over seeds, and a band from the least to the greatest."""

import bisect
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lipnet.display.bars import draw_bars
from lipnet.display.canvas import blank_figure
from lipnet.errors import UserError
from lipnet.results.collect import Run
from lipnet.results.compare import by_name
from lipnet.results.drawing import (
    MARKERS,
    Named,
    band,
    colours,
    finite,
    legend_below,
    mean,
    new_figure,
    of_table,
    place_of_layer,
)
from lipnet.results.groups import Group, varying_keys, varying_labels
from lipnet.results.per_example_figure import per_example
from lipnet.results.progress_figures import score_against_seconds, training_curves
from lipnet.results.swept_figure import bounds_against_key, clean_against_certified, score_against_key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 400  # of a curve
_QUANTILES = 101  # of a spectrum


def write_figures(groups: list[Group], folder: Path) -> list[Path]:
    """Draws every figure that the runs left data for, for each data set and model; returns the files.

    Raises:
        UserError: the folder cannot be written.
    """
    drawn = []
    for (dataset, model), same in by_network(groups).items():
        named = list(label_groups(same))
        for name, draw in FIGURES.items():
            figure = draw(named, f"{dataset}, {model}")
            if figure is not None:
                path = folder / re.sub(r"[^\w.-]+", "_", f"{name}_{dataset}_{model}.png")
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                    figure.savefig(path, dpi=150)
                except OSError as error:
                    raise UserError(f"--figures {folder}: cannot write there ({error.strerror}).") from None
                drawn.append(path)
    return drawn


def by_network(groups: list[Group]) -> dict[tuple[str, str], list[Group]]:
    """Groups by data set and model: what one figure can compare. A classifier and a GAN's critic have nothing to."""
    found: dict[tuple[str, str], list[Group]] = defaultdict(list)
    for group in sorted(groups, key=by_name):
        model = group.labels["model"]
        network = f"{model} gan" if group.generates else model
        found[group.labels["dataset"], network].append(group)
    return found


def label_groups(groups: list[Group]) -> Iterator[tuple[str, Group]]:
    """The method, with what else tells its configurations apart."""
    by_method: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        by_method[group.labels["method"]].append(group)
    varying = {method: varying_keys(same) for method, same in by_method.items()}
    seen: dict[str, int] = defaultdict(int)
    for group in groups:
        method = group.labels["method"]
        label = method
        for key, value in varying_labels(group, varying[method]).items():
            label += f" {key}={value}"
        label += f" (n={len(group.runs)})"
        seen[label] += 1
        if seen[label] > 1:  # of a damaged configuration nothing may be known that tells it from another
            yield f"{label}, {seen[label]}", group
        else:
            yield label, group


def certified_accuracy(named: Named, title: str) -> "Figure | None":
    """Certified accuracy at every radius from ``certificates.csv``; attacked accuracies as points."""
    radii = {label: list(filter(None, map(_radii, group.runs))) for label, group in named}
    ends: list[float] = []
    for of_runs in radii.values():
        ends += [ordered[-1] for ordered in of_runs]
    if not ends:
        return None
    figure, axes = new_figure()
    top = max(ends) or 1.0
    grid = [top * number / _POINTS for number in range(_POINTS + 1)]
    attacks: dict[str, str] = {}
    for colour, (label, group) in zip(colours(named), named, strict=True):
        band(axes, grid, [_shares_above(ordered, grid) for ordered in radii[label]], colour, label)
        for measure, found in sorted(group.statistics().items()):
            if measure.is_attacked and measure.radius is not None:
                marker = attacks.setdefault(measure.name, MARKERS[len(attacks) % len(MARKERS)])
                axes.plot(measure.radius, found.mean, marker, color=colour, markersize=5, fillstyle="none")
    for name, marker in attacks.items():
        axes.plot([], [], marker, color="grey", fillstyle="none", label=f"{name.removesuffix('_accuracy')} (at most)")
    axes.set(title=title, xlabel="L2 radius (pixels in [0, 1])", ylabel="certified accuracy (at least)", ylim=(0, 1.02))
    axes.set_xlim(left=0)
    legend_below(figure, axes)
    return figure


def _radii(run: Run) -> list[float]:
    """The certified radii of a run's examples in ascending order; empty where it has none to read."""
    path = run.directory / "certificates.csv"
    return of_table(path, lambda rows: sorted(finite(row["certified_radius"]) for row in rows), [])


def _shares_above(ordered: list[float], grid: list[float]) -> list[float]:
    """Which share of the sorted radii is larger than each radius of the grid."""
    return [1 - bisect.bisect_right(ordered, radius) / len(ordered) for radius in grid]


def singular_values(named: Named, title: str) -> "Figure | None":
    """Each layer's singular values: one panel for each configuration, one bar for each layer.

    A bar is thin over all values, thicker from 10 to 90 and from 25 to 75 per cent of them.
    """
    shown: dict[str, dict[str, list[float]]] = {}
    for label, group in named:
        layers = _spectrum(group)
        if layers:
            shown[label] = layers
    if not shown:
        return None
    figure = blank_figure(figsize=(max(5.0, 1.9 * len(shown) + 1), 4), layout="constrained")
    figure.suptitle(f"{title}: singular values of each layer after training")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, (label, layers) in zip(panels, shown.items(), strict=True):
        draw_bars(axes, [name.partition("_")[2] for name in layers], list(layers.values()))
        axes.axhline(1, color="grey", linewidth=0.6, zorder=0)
        axes.set_title(label, fontsize=9)
    panels[0].set(ylabel="singular value", ylim=(0, None))
    return figure


def _spectrum(group: Group) -> dict[str, list[float]]:
    """Layer -> quantiles, averaged over the runs that left them."""
    nothing: dict[str, list[float]] = {}
    tables: list[dict[str, list[float]]] = []
    for run in group.runs:
        table = of_table(run.directory / "singular_values.csv", _quantiles, nothing)
        if table and (not tables or table.keys() == tables[0].keys()):  # a damaged one has other layers
            tables.append(table)
    averaged = {}
    for name in tables[0] if tables else ():
        of_runs = [table[name] for table in tables]
        averaged[name] = list(map(mean, zip(*of_runs, strict=True)))
    return averaged


def _quantiles(rows: list[dict[str, str]]) -> dict[str, list[float]]:
    """Layer -> 101 quantiles."""
    if not rows:
        return {}
    if len(rows) != _QUANTILES:
        raise ValueError(f"{len(rows)} of {_QUANTILES} rows")
    found = {}
    for name in rows[0]:
        if name != "quantile":
            found[name] = [finite(row[name]) for row in rows]
    return found


def gradient_norms(named: Named, title: str) -> "Figure | None":
    """The margin's gradient at each layer's output, relative to the last layer's."""
    norms: dict[str, list[dict[str, float]]] = {}
    tables: list[dict[str, float]] = []  # of all configurations
    for label, group in named:
        norms[label] = _alike(list(map(_relative, group.runs)))
        tables += norms[label]
    if not tables:
        return None
    figure, axes = new_figure()
    for colour, (label, of_runs) in zip(colours(named), norms.items(), strict=True):
        if of_runs:
            depth = list(range(len(of_runs[0])))
            band(axes, depth, [list(table.values()) for table in of_runs], colour, label, marker="o")
    deepest = max(tables, key=len)
    axes.set_xticks(range(len(deepest)), list(map(place_of_layer, deepest)), fontsize=8)
    least = min(min(table.values()) for table in tables)
    greatest = max(max(table.values()) for table in tables)
    axes.set_yscale("log" if greatest > 10 * least else "linear")
    axes.set(title=f"{title}: the margin's gradient through depth")
    axes.set(xlabel="with respect to the output of (from the image to the logits)", ylabel="norm, relative to the last")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _alike(tables: list[dict[str, float]]) -> list[dict[str, float]]:
    """The tables with as many layers as the longest, without empty ones: a damaged one has fewer."""
    longest = max(map(len, tables), default=0)
    return [table for table in tables if table and len(table) == longest]


def _relative(run: Run) -> dict[str, float]:
    path = run.directory / "gradient_norms.csv"
    return of_table(path, lambda rows: {row["layer"]: finite(row["relative"]) for row in rows}, {})


FIGURES: dict[str, Callable[[Named, str], "Figure | None"]] = {
    "certified_accuracy": certified_accuracy,
    "clean_against_certified": clean_against_certified,
    "score_against_key": score_against_key,
    "bounds_against_key": bounds_against_key,
    "training_curves": training_curves,
    "score_against_seconds": score_against_seconds,
    "singular_values": singular_values,
    "gradient_norms": gradient_norms,
    "per_example": per_example,
}
IN_TRAINING = ("training_curves", "score_against_seconds")  # what unfinished runs have data for
