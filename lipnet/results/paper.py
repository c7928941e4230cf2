"""The paper's numbers, from ``paper.csv`` beside this file (its head says where they are from)."""

import functools
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from lipnet.options.checks import radius_value
from lipnet.results.groups import Group
from lipnet.results.measures import Measure, Statistic
from lipnet.runs.files import read_csv

PAPER_NOTES = [
    "paper: Li et al., NeurIPS 2019. corrected: its code of 2020-06-25, after an error in large bcop and bcop_fixed "
    "was mended; published: as printed; both: the same in both. difference: ours less the paper's.",
    "the paper selected its checkpoints on the test split, lipnet on a validation split; the paper's PGD is another "
    "(200 steps of 0.01, last iterate). Its certified accuracies are of float32 networks, and count no rounding.",
]


@dataclass(frozen=True)
class PaperRow:
    """One method's results in one release of the paper's code; a spread that is not known is NaN."""

    release: str
    values: dict[Measure, Statistic]
    n: int


def paper_rows(group: Group) -> list[PaperRow]:
    """The paper's results for a group's data set, model and method, corrected ones first; most have only one."""
    if group.generates:  # the paper's networks are classifiers
        return []
    labels = group.labels
    method = labels["method"]
    if labels["model"] == "fc" and method == "orthogonal":  # the same layers, another way to compute them
        method = "bjorck"
    return _rows().get((labels["dataset"], labels["model"], method), [])


@functools.cache
def _rows() -> dict[tuple[str, str, str], list[PaperRow]]:
    found: dict[tuple[str, str, str, str], dict[Measure, Statistic]] = defaultdict(dict)
    for row in read_csv(Path(__file__).with_name("paper.csv")):
        radius = radius_value(row["radius"]) if row["radius"] else None
        std = float(row["std"]) if row["std"] else math.nan
        values = found[row["dataset"], row["model"], row["method"], row["release"]]
        values[Measure(row["measure"], radius)] = Statistic(float(row["mean"]), std, int(row["n"]))
    rows: dict[tuple[str, str, str], list[PaperRow]] = defaultdict(list)
    for (dataset, model, method, release), values in found.items():
        n = max(value.n for value in values.values())
        rows[dataset, model, method].append(PaperRow(release, values, n))
    return dict(rows)
