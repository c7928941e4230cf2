"""How much more of a distance one kind of critic proves than another, on the same samples.

``python -m lipnet.results.ratios DIR...``: of the runs of ``task=wasserstein`` below DIR, the best learning rate for
each method and activation, and the ratios between them beside the paper's.
"""

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy
from numpy.typing import NDArray

from lipnet.errors import UserError
from lipnet.results.collect import Run, find_runs
from lipnet.training.files import read_csv

_METHODS = ("bcop", "rko", "ossn")
_ACTIVATIONS = ("maxmin", "relu")
Values = NDArray[numpy.float64]


@dataclass(frozen=True)
class Critics:
    """Runs of one method, activation and learning rate, by seed."""

    method: str
    activation: str
    rate: str
    runs: dict[str, Run]

    @property
    def selection(self) -> float:
        """Mean estimate on the samples that chose the epochs: the learning rate may not be chosen by the others."""
        return _mean(_selected(run) for run in self.runs.values())

    def mean(self, key: str) -> float:
        """The mean over seeds of a figure of ``results.json``, or of the distance in it."""
        return _mean(run.results[key] if key in run.results else self._of(run)[key] for run in self.runs.values())

    @staticmethod
    def _of(run: Run) -> dict[str, float]:
        return run.results["wasserstein"]


@dataclass(frozen=True)
class Comparison:
    """The estimate of one kind of critic over another's, from the samples that both were evaluated on.

    Attributes:
        difference, difference_error: mean over seeds, and its standard error from the samples alone.
        ratio, ratio_error: of the means; the error is linearised.
    """

    difference: float
    difference_error: float
    ratio: float
    ratio_error: float
    seeds: int


def best_critics(runs: list[Run]) -> dict[tuple[str, str], Critics]:
    """``(method, activation) -> `` the critics of the learning rate with the best estimates on selection samples.

    Raises:
        UserError: there is no finished run of ``task=wasserstein`` among them.
    """
    found: dict[tuple[str, str, str], dict[str, Run]] = defaultdict(dict)
    for run in runs:
        if not run.problem and "wasserstein" in run.results:
            found[run.method, run.config.get("activation", "?"), run.config.get("optimizer.lr", "?")][run.seed] = run
    if not found:
        raise UserError("no finished run of task=wasserstein is there.")
    best: dict[tuple[str, str], Critics] = {}
    for (method, activation, rate), by_seed in found.items():
        critics, place = Critics(method, activation, rate, by_seed), (method, activation)
        if place not in best or critics.selection > best[place].selection:
            best[place] = critics
    return best


def compare(one: Critics, other: Critics) -> Comparison:
    """Compares two kinds of critics on the seeds that both have.

    Values are averaged over seeds before they are compared: the real images are the same for every seed, and not so
    many times independent.

    Raises:
        UserError: they have no seed in common, or were not evaluated on the same samples.
    """
    seeds = sorted(one.runs.keys() & other.runs.keys())
    pairs = [(one.runs[seed], other.runs[seed]) for seed in seeds]
    for first, second in pairs:
        digests = [run.results["wasserstein"].get("samples_sha256") for run in (first, second)]
        if None in digests or digests[0] != digests[1]:
            raise UserError(f"{first.directory} and {second.directory} were not evaluated on the same samples.")
    if not pairs:
        raise UserError(f"{one.method}, {one.activation} and {other.method}, {other.activation} share no seed.")
    ours, theirs = (numpy.mean([_values(run) for run in column], axis=0) for column in zip(*pairs, strict=True))
    ratio = _gap(ours) / _gap(theirs)
    ratio_error = _error(ours - ratio * theirs) / _gap(theirs)
    return Comparison(_gap(ours) - _gap(theirs), _error(ours - theirs), ratio, ratio_error, len(seeds))


def _values(run: Run) -> Values:
    """``(2, samples)``: ``f / L`` at the samples of the first law and at those of the second."""
    rows = read_csv(run.directory / "critic_values.csv")
    if not rows:
        raise UserError(f"{run.directory}: critic_values.csv is missing; task=evaluate run=DIR writes it again.")
    return numpy.array([[float(row[side]) for row in rows] for side in ("first", "second")])


def _gap(values: Values) -> float:
    return float(values[0].mean() - values[1].mean())


def _error(values: Values) -> float:
    """The standard error of the gap of means: samples of either law are independent of each other."""
    return math.sqrt(float(values.var(axis=1, ddof=1).sum()) / values.shape[1])


def _selected(run: Run) -> float:
    epoch = str(run.results["best_epoch"])
    return next(float(row["validation_estimate"]) for row in read_csv(run.directory / "metrics.csv")
                if row["epoch"] == epoch)  # fmt: skip


def _mean(numbers: Iterator[float]) -> float:
    found = list(numbers)
    return math.fsum(found) / len(found)


def report(best: dict[tuple[str, str], Critics]) -> str:
    """Both tables as text."""
    return "\n\n".join([_table(best), _ratios(best)]) + "\n"


def _table(best: dict[tuple[str, str], Critics]) -> str:
    header = ("method", "activation", "lr", "seeds", "estimate", "at least", "L <=", "train s")
    rows = [
        (critics.method, critics.activation, critics.rate, str(len(critics.runs)), f"{critics.mean('estimate'):.4f}",
         f"{critics.mean('certified_lower_bound'):.4f}", f"{critics.mean('lipschitz_upper_bound'):.7f}",
         f"{critics.mean('train_seconds'):.0f}")
        for _, critics in sorted(best.items(), key=_order)
    ]  # fmt: skip
    return _aligned([header, *rows])


def _ratios(best: dict[tuple[str, str], Critics]) -> str:
    paper = _paper()
    datasets = sorted({dataset for dataset, *_ in paper})
    header = ("ratio", "seeds", "ours", "±", "difference", "±", *(f"paper, {dataset}" for dataset in datasets))
    rows = []
    for name, one, other in _pairs():
        if one in best and other in best:
            found = compare(best[one], best[other])
            published = [paper[(dataset, *one)] / paper[(dataset, *other)] for dataset in datasets]
            rows.append(
                (name, str(found.seeds), f"{found.ratio:.4f}", f"{found.ratio_error:.4f}", f"{found.difference:.4f}",
                 f"{found.difference_error:.4f}", *(f"{ratio:.3f}" for ratio in published))
            )  # fmt: skip
    note = "±: standard error of what is compared on the same samples; it does not tell how training varies."
    return f"{_aligned([header, *rows])}\n{note}"


def _pairs() -> Iterator[tuple[str, tuple[str, str], tuple[str, str]]]:
    for activation in _ACTIVATIONS:
        for other in _METHODS[1:]:
            yield f"{_METHODS[0]} / {other}, {activation}", (_METHODS[0], activation), (other, activation)
    for method in _METHODS:
        yield f"maxmin / relu, {method}", (method, "maxmin"), (method, "relu")


def _order(item: tuple[tuple[str, str], Critics]) -> tuple[int, str, str]:
    method, activation = item[0]
    return (_METHODS.index(method) if method in _METHODS else len(_METHODS)), method, activation


def _paper() -> dict[tuple[str, str, str], float]:
    """``(data set, method, activation) -> `` estimate."""
    rows = read_csv(Path(__file__).with_name("wasserstein_paper.csv"))
    return {(row["dataset"], row["method"], row["activation"]): float(row["estimate"]) for row in rows}


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def main(argv: list[str] | None = None) -> None:
    """The command; a user's mistake ends it with exit code 1."""
    parser = argparse.ArgumentParser(
        prog="python -m lipnet.results.ratios", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="run directories, or folders above")
    try:
        sys.stdout.write(report(best_critics(find_runs(parser.parse_args(argv).directories))))
    except UserError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        sys.exit(1)
    except SystemExit as stop:  # argparse leaves with 2; a user's mistake is 1 here
        sys.exit(1 if stop.code else 0)


if __name__ == "__main__":
    main()
