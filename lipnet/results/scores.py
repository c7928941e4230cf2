"""The one number by which runs are compared: in training, and once they are finished."""

from collections import Counter

from lipnet.options.checks import radius_value
from lipnet.results.groups import Group
from lipnet.results.measures import Measure

_CERTIFIED = "validation_certified_accuracy@"
_OTHERS = ("validation_estimate", "validation_clean_accuracy")


def score(groups: list[Group]) -> Measure | None:
    """Certified accuracy at the largest radius that most groups have, the estimate of a distance, or clean accuracy."""
    counts: Counter[Measure] = Counter()
    for group in groups:
        counts.update(group.statistics().keys())
    certified = [measure for measure in counts if measure.name == "certified_accuracy"]
    if certified:
        return max(certified, key=lambda measure: (counts[measure], measure.radius or 0.0))
    for name in ("estimate", "clean_accuracy"):
        if Measure(name) in counts:
            return Measure(name)
    return None


def score_column(columns: list[str]) -> str | None:
    """The column of ``metrics.csv`` that this number is in, or comes nearest to it; ``None`` where there is none."""
    certified = [column for column in columns if column.startswith(_CERTIFIED) and _radius(column)]
    if certified:
        return max(certified, key=_radius)
    for column in _OTHERS:
        if column in columns:
            return column
    return None


def _radius(column: str) -> float:
    """The radius that a column is for; 0 where its name is damaged."""
    try:
        return radius_value(column.removeprefix(_CERTIFIED).replace("_", "/"))
    except ValueError:
        return 0.0


def readable(column: str) -> str:
    """``validation_certified_accuracy@36_255`` -> ``certified accuracy at 36/255``."""
    name, at, radius = column.removeprefix("validation_").removeprefix("train_").partition("@")
    text = name.replace("_", " ")
    if at:
        text += f" at {radius.replace('_', '/')}"
    return text
