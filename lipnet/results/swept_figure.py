"""What a swept key does: the score against each key whose values are numbers, and what one score costs another."""

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

from lipnet.display.canvas import blank_figure
from lipnet.options.checks import radius_value
from lipnet.results.drawing import COLOURS, MARKERS, Named, new_panels
from lipnet.results.groups import Group, varying_keys
from lipnet.results.measures import BV2, Measure, Statistic
from lipnet.results.scores import score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINES, _KEYS = 10, 4

_BOUNDS = (BV2["2"], "lipschitz_upper_bound", "lipschitz_lower_bound")
_BOUNDS_ARE = {
    "clean_accuracy": "clean accuracy", BV2["2"]: "BV2 bound, p = 2", "lipschitz_upper_bound": "bound by layers",
    "lipschitz_lower_bound": "measured at test examples",
}  # fmt: skip

Points = list[tuple[float, Group]]


def score_against_key(named: Named, title: str) -> "Figure | None":
    """One panel for each key, a line for each choice of everything else, points where no line has two values.

    Mean and standard deviation over seeds; dashed, clean accuracy. Of more than ten lines the ones that reach highest
    are drawn.
    """
    groups = [group for _, group in named]
    measure, keys = score(groups), _numeric_keys(groups)[:_KEYS]
    if measure is None or not keys:
        return None
    figure, panels = new_panels(len(keys), title)
    labels: dict[str, str] = {}  # -> colour, the same in all panels
    for axes, key in zip(panels, keys, strict=True):
        lines = _lines(groups, key)
        highest = sorted(lines, key=lambda label: -_highest(lines[label], measure))[:_LINES]
        for label in sorted(highest):
            colour = labels.setdefault(label, COLOURS[len(labels) % len(COLOURS)])
            _line(axes, lines[label], measure, colour, "o-", label)
            if measure.name == "certified_accuracy":
                _line(axes, lines[label], Measure("clean_accuracy"), colour, ".--")
        values: list[float] = []
        for points in lines.values():
            values += [value for value, _ in points]
        if min(values) > 0 and max(values) >= 20 * min(values):
            axes.set_xscale("log")
        more = f" ({_LINES} of {len(lines)} lines)" if len(lines) > _LINES else ""
        axes.set(xlabel=f"{key}{more}", ylabel=_described(measure))
        axes.legend(frameon=False, fontsize=8)
    return figure


def clean_against_certified(named: Named, title: str) -> "Figure | None":
    """How much clean accuracy each configuration gives up for certified accuracy; one panel for each radius.

    Where one key alone is swept over numbers, the points of a line are what differs in it, marked with its value.
    """
    key, lines = _trade_offs(named)
    found: set[Measure] = set()
    for points in lines.values():
        for _, statistics in points:
            found.update(statistics)
    measures = sorted(measure for measure in found if measure.name == "certified_accuracy" and measure.radius)
    if len(named) < 2 or not measures:
        return None
    figure = blank_figure(figsize=(4.2 * len(measures) + 2.5, 4.3), layout="constrained")
    figure.suptitle(f"{title}: clean against certified accuracy")
    for axes, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        for number, (label, points) in enumerate(lines.items()):
            marker, colour = MARKERS[number // len(COLOURS) % len(MARKERS)], COLOURS[number % len(COLOURS)]
            clean, certified = [], []
            for text, statistics in points:
                if measure in statistics:
                    x, y = statistics[Measure("clean_accuracy")], statistics[measure]
                    axes.annotate(text, (x.mean, y.mean), (5, 5), textcoords="offset points", fontsize=7, color=colour)
                    clean.append(x)
                    certified.append(y)
            (x_means, x_spreads), (y_means, y_spreads) = _coordinates(clean), _coordinates(certified)
            named_once = label if measure is measures[0] else None
            axes.errorbar(
                x_means, y_means, y_spreads, x_spreads, f"{marker}-", color=colour, markersize=7, linewidth=1.2,
                label=named_once,
            )  # fmt: skip
        axes.locator_params(axis="x", nbins=6)
        axes.set(xlabel="clean accuracy", ylabel=f"certified accuracy at {measure.radius:g}")
        axes.grid(alpha=0.3)
    figure.legend(frameon=False, fontsize=8, loc="outside right upper", title=f"numbers: {key}" if key else None)
    return figure


def bounds_against_key(named: Named, title: str) -> "Figure | None":
    """What a key swept over numbers above 0 trades, in networks of splines: accuracy, and the bounds on their slope.

    Beside the bounds, which hold for every two points, the largest gain that was measured at one.
    """
    key, lines = _trade_offs(named)
    measured = {measure for _, group in named for measure in group.statistics()}
    if not key or Measure(_BOUNDS[0]) not in measured or min(_of_key(named, key)) <= 0:
        return None
    figure, (accuracies, bounds) = new_panels(2, title)
    for number, (label, points) in enumerate(lines.items()):
        marker, end = MARKERS[number % len(MARKERS)], f" ({label})" if len(lines) > 1 else ""
        x, statistics = [float(text) for text, _ in points], [found for _, found in points]
        for axes, measures in ((accuracies, ("clean_accuracy",)), (bounds, _BOUNDS)):
            for name, colour in zip(measures, COLOURS, strict=False):
                _through(axes, x, statistics, Measure(name), colour, marker, f"{_BOUNDS_ARE.get(name, name)}{end}")
    for axes, about in ((accuracies, "accuracy on the test split"), (bounds, "gain: at most, and measured")):
        axes.set(xscale="log", xlabel=key, ylabel=about)
    bounds.set_yscale("log")
    accuracies.legend(frameon=False, fontsize=8)
    bounds.legend(frameon=False, fontsize=8)
    return figure


def _of_key(named: Named, key: str) -> list[float]:
    return [value for value in _values([group for _, group in named], key) if value is not None]


def _through(
    axes: "Axes", x: list[float], statistics: list[dict[Measure, Statistic]], measure: Measure, colour: str,
    marker: str, label: str,
) -> None:  # fmt: skip
    there = [(value, found[measure]) for value, found in zip(x, statistics, strict=True) if measure in found]
    means, spreads = _coordinates([found for _, found in there])
    axes.errorbar(
        [value for value, _ in there], means, spreads, fmt=f"{marker}-", color=colour, label=label, markersize=5,
        linewidth=1.2, capsize=2,
    )  # fmt: skip


def _trade_offs(named: Named) -> tuple[str, dict[str, list[tuple[str, dict[Measure, Statistic]]]]]:
    """The one key that is swept over numbers, and its lines; or no key, and each configuration as a line of its own."""
    groups = [group for _, group in named]
    keys = _numeric_keys(groups)
    lines: dict[str, list[tuple[str, dict[Measure, Statistic]]]] = {}
    if len(keys) == 1:
        joined = 0
        for label, points in _lines(groups, keys[0]).items():
            joined += len({value for value, _ in points})
            points.sort(key=lambda point: point[0])
            lines[label] = [(f"{value:g}", group.statistics()) for value, group in points]
        if joined == len(groups):  # each of them once
            return keys[0], lines
    return "", {label: [("", group.statistics())] for label, group in named}


def _coordinates(found: list[Statistic]) -> tuple[list[float], list[float]]:
    """Means and standard deviations."""
    return [statistic.mean for statistic in found], [statistic.std for statistic in found]


def _described(measure: Measure) -> str:
    if measure.radius is None:
        return measure.name.replace("_", " ")
    return f"certified accuracy at {measure.radius:.4g} (dashed: clean)"


def _numeric_keys(groups: list[Group]) -> list[str]:
    """Keys that vary over numbers; of keys that move together, the first."""
    found: dict[str, list[float | None]] = {}
    for key in varying_keys(groups):
        values = _values(groups, key)
        if len(set(values) - {None}) > 1 and not any(_together(values, others) for others in found.values()):
            found[key] = values
    return list(found)


def _together(one: list[float | None], other: list[float | None]) -> bool:
    """Whether each is a monotone function of the other, as ``epochs`` and ``batch_size`` in a sweep of both at once."""
    pairs = set()
    for x, y in zip(one, other, strict=True):
        if x is None or y is None:
            return False
        pairs.add((x, y))
    ordered = sorted(pairs)
    if len(ordered) > len(set(one)):  # several values of the other at one value
        return False
    steps = [after[1] - before[1] for before, after in itertools.pairwise(ordered)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


def _lines(groups: list[Group], key: str) -> dict[str, Points]:
    """Label -> groups that differ in this key alone, by its value; all points by method where none differ so."""
    column = _values(groups, key)
    others = [other for other in varying_keys(groups) if other != key and not _together(column, _values(groups, other))]
    for shown in (others, []):
        lines: dict[str, Points] = defaultdict(list)
        for group in groups:
            value = _number(group.told.get(key, ""))
            if value is not None:
                label = group.labels["method"]
                for other in shown:
                    if other in group.told:
                        label += f" {other}={group.told[other]}"
                lines[label].append((value, group))
        several = {label: points for label, points in lines.items() if _differ(points)}
        if several:
            return several
    return dict(lines)


def _differ(points: Points) -> bool:
    """Whether a line through these points has two values of its key."""
    return len({value for value, _ in points}) > 1


def _line(axes: "Axes", points: Points, measure: Measure, colour: str, style: str, label: str | None = None) -> None:
    x, found = [], []
    for value, group in sorted(points, key=lambda point: point[0]):
        statistic = group.statistics().get(measure)
        if statistic is not None:
            x.append(value)
            found.append(statistic)
    if len(set(x)) < len(x):  # other keys differ too: no line joins these
        style = style.rstrip("-")
    means, spreads = _coordinates(found)
    axes.errorbar(x, means, spreads, fmt=style, color=colour, label=label, markersize=5, linewidth=1.2, capsize=2)


def _highest(points: Points, measure: Measure) -> float:
    highest = float("-inf")
    for _, group in points:
        statistic = group.statistics().get(measure)
        if statistic is not None:
            highest = max(highest, statistic.mean)
    return highest


def _values(groups: list[Group], key: str) -> list[float | None]:
    return [_number(group.told.get(key, "")) for group in groups]


def _number(text: str) -> float | None:
    try:
        return radius_value(text)  # a number, or a fraction such as 36/255
    except ValueError:
        return None
