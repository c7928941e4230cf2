#!/usr/bin/env python
"""How much more of a distance one kind of critic proves than another, on the same samples.

    python scripts/wasserstein_ratios.py DIR...

Of the runs of ``task=wasserstein`` below DIR: the best learning rate for each method and activation, and the ratios
between them beside the paper's (``wasserstein_paper.csv``). Runs that are damaged are named and left out.
"""

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy
from numpy.typing import NDArray

from lipnet.errors import UserError
from lipnet.results.collect import Run, find_runs
from lipnet.results.notes import notes
from lipnet.runs.files import read_csv

_METHODS = ("bcop", "rko", "ossn")
_ACTIVATIONS = ("maxmin", "relu")
Values = NDArray[numpy.float64]


@dataclass(frozen=True)
class Critic:
    """What is read of one run.

    Attributes:
        selection: its estimate on the samples that chose the epoch.
        values: ``(2, samples)``: ``f / L`` at the samples of the first distribution and at those of the second.
        samples: a digest of those samples.
    """

    run: Run
    selection: float
    figures: dict[str, float]
    values: Values
    samples: str


@dataclass(frozen=True)
class Critics:
    """Runs of one method, activation and learning rate, by seed."""

    method: str
    activation: str
    rate: str
    by_seed: dict[str, Critic]

    @property
    def selection(self) -> float:
        """Mean estimate on the samples that chose the epochs: the learning rate may not be chosen by the others."""
        return _mean(critic.selection for critic in self.by_seed.values())

    def mean(self, name: str) -> float:
        """The mean over seeds of a figure."""
        return _mean(critic.figures[name] for critic in self.by_seed.values())


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


def read_critics(runs: list[Run]) -> tuple[list[Critic], list[Run]]:
    """The critics among the runs, and all runs, with what is wrong with those that cannot be read."""
    critics, told = [], []
    for run in runs:
        if not run.problem and "wasserstein" in run.results:
            try:
                critics.append(_critic(run))
            except _Damage as damage:
                run = replace(run, problem=str(damage))
        told.append(run)
    return critics, told


class _Damage(Exception):
    """A run lacks something, or it cannot be read."""


def _critic(run: Run) -> Critic:
    figures = {
        name: _number(table, name)
        for table, names in (
            (run.results["wasserstein"], ("estimate", "certified_lower_bound")),
            (run.results, ("lipschitz_upper_bound", "train_seconds")),
        )
        for name in names
    }
    values = numpy.array(_values(run.directory / "critic_values.csv")).T
    samples = str(run.results["wasserstein"].get("samples_sha256"))
    return Critic(run, _selection(run), figures, values, samples)


def _number(table: dict, name: str) -> float:
    value = table.get(name)
    if not isinstance(value, int | float):
        raise _Damage(f"results.json has no {name}")
    return float(value)


def _values(path: Path) -> list[tuple[float, float]]:
    rows = _rows(path)
    if len(rows) < 2:
        raise _Damage(
            f"{path.name} is {'empty' if path.exists() else 'missing'}; task=evaluate run=DIR writes it again"
        )
    return [(_finite(row, "first", path), _finite(row, "second", path)) for row in rows]


def _selection(run: Run) -> float:
    path, epoch = run.directory / "metrics.csv", str(run.results.get("best_epoch"))
    row = next((row for row in _rows(path) if row.get("epoch") == epoch), None)
    if row is None:
        raise _Damage(f"{path.name} has no epoch {epoch}, its best")
    return _finite(row, "validation_estimate", path)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        return read_csv(path)
    except (OSError, ValueError) as error:
        raise _Damage(f"{path.name} cannot be read ({error})") from None


def _finite(row: dict[str, str], column: str, path: Path) -> float:
    text = row.get(column)
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _Damage(f"{path.name}: {column}={text!r:.40} is no finite number")
    return number


def best_critics(critics: list[Critic]) -> dict[tuple[str, str], Critics]:
    """``(method, activation) -> `` the critics of the learning rate with the best estimates on selection samples."""
    found: dict[tuple[str, str, str], dict[str, Critic]] = defaultdict(dict)
    for critic in critics:
        config = critic.run.config
        place = critic.run.method, config.get("activation", "?"), config.get("optimizer.lr", "?")
        found[place][critic.run.seed] = critic
    best: dict[tuple[str, str], Critics] = {}
    for (method, activation, rate), by_seed in found.items():
        same, kind = Critics(method, activation, rate, by_seed), (method, activation)
        if kind not in best or same.selection > best[kind].selection:
            best[kind] = same
    return best


def compare(one: Critics, other: Critics) -> Comparison:
    """Compares two kinds of critics on the seeds that both have.

    Values are averaged over seeds before they are compared: the real images are the same for every seed, and not so
    many times independent.

    Raises:
        UserError: they have no seed in common, or were not evaluated on the same samples.
    """
    seeds = sorted(one.by_seed.keys() & other.by_seed.keys())
    pairs = [(one.by_seed[seed], other.by_seed[seed]) for seed in seeds]
    for first, second in pairs:
        if "None" in (first.samples, second.samples) or first.samples != second.samples:
            raise UserError(f"{first.run.directory} and {second.run.directory} were not evaluated on the same samples.")
    if not pairs:
        raise UserError(f"{one.method}, {one.activation} and {other.method}, {other.activation} share no seed.")
    if len({critic.values.shape for pair in pairs for critic in pair}) > 1:
        raise UserError(f"{one.method} and {other.method}: their tables critic_values.csv differ in length.")
    ours, theirs = (numpy.mean([critic.values for critic in column], axis=0) for column in zip(*pairs, strict=True))
    if not _gap(theirs):
        raise UserError(f"{other.method}, {other.activation}: it tells nothing apart, and nothing compares with that.")
    ratio = _gap(ours) / _gap(theirs)
    ratio_error = _error(ours - ratio * theirs) / _gap(theirs)
    return Comparison(_gap(ours) - _gap(theirs), _error(ours - theirs), ratio, ratio_error, len(seeds))


def _gap(values: Values) -> float:
    return float(values[0].mean() - values[1].mean())


def _error(values: Values) -> float:
    """The standard error of the gap of means: samples of either distribution are independent of each other."""
    return math.sqrt(float(values.var(axis=1, ddof=1).sum()) / values.shape[1])


def _mean(numbers: Iterator[float]) -> float:
    found = list(numbers)
    return math.fsum(found) / len(found)


def report(runs: list[Run]) -> str:
    """Both tables as text, and what is not in them.

    Raises:
        UserError: there is no finished run of ``task=wasserstein`` among them that can be read.
    """
    critics, told = read_critics(runs)
    missing = notes([], told)
    if not critics:
        raise UserError("\n".join(["no finished run of task=wasserstein is there.", *missing]))
    best = best_critics(critics)
    return "\n\n".join([_table(best), _ratios(best), *missing]) + "\n"


def _table(best: dict[tuple[str, str], Critics]) -> str:
    header = ("method", "activation", "lr", "seeds", "estimate", "at least", "L <=", "train s")
    rows = [
        (critics.method, critics.activation, critics.rate, str(len(critics.by_seed)), f"{critics.mean('estimate'):.4f}",
         f"{critics.mean('certified_lower_bound'):.4f}", f"{critics.mean('lipschitz_upper_bound'):.7f}",
         f"{critics.mean('train_seconds'):.0f}")
        for _, critics in sorted(best.items(), key=_order)
    ]  # fmt: skip
    return _aligned([header, *rows])


def _ratios(best: dict[tuple[str, str], Critics]) -> str:
    paper = _paper()
    datasets = sorted({dataset for dataset, *_ in paper})
    header = ("ratio", "seeds", "ours", "±", "difference", "±", *(f"paper, {dataset}" for dataset in datasets))
    rows, refused = [], []
    for name, one, other in _pairs():
        if one not in best or other not in best:
            continue
        try:
            found = compare(best[one], best[other])
        except UserError as error:
            refused.append(f"{name} is left out: {error}")
            continue
        published = [paper[(dataset, *one)] / paper[(dataset, *other)] for dataset in datasets]
        rows.append(
            (name, str(found.seeds), f"{found.ratio:.4f}", f"{found.ratio_error:.4f}", f"{found.difference:.4f}",
             f"{found.difference_error:.4f}", *(f"{ratio:.3f}" for ratio in published))
        )  # fmt: skip
    note = "±: standard error of what is compared on the same samples; it does not tell how training varies."
    return "\n".join([_aligned([header, *rows]), note, *refused])


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


def main(argv: list[str] | None = None) -> int:
    """Prints both tables; a user's mistake is one message and exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="run directories, or folders above")
    try:
        sys.stdout.write(report(find_runs(parser.parse_args(argv).directories)))
    except UserError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
