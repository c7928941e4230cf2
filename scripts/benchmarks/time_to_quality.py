"""A metric of several runs against the seconds that training took: a table, and a figure where asked for.

python scripts/benchmarks/time_to_quality.py RUN... --metric validation_certified_accuracy@1.58 --figure out.png

Reads each run's metrics.csv and configuration; runs that are still training can be drawn too.
"""

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from lipnet.display.canvas import blank_figure
from lipnet.results.scores import readable
from lipnet.runs.files import read_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def main() -> None:
    """Prints every epoch of every run; writes the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run directories")
    parser.add_argument("--metric", required=True, help="a column of metrics.csv")
    parser.add_argument("--figure", metavar="FILE", help="draw the curves here (PNG)")
    arguments = parser.parse_args()
    curves = {}
    for run in arguments.runs:
        try:
            curves[_label(run)] = _curve(run, arguments.metric)
        except (FileNotFoundError, KeyError) as error:
            parser.error(f"{run}: not a run directory with {arguments.metric} in its metrics.csv ({error})")
    for label, (seconds, values) in curves.items():
        print(label)
        for second, value in zip(seconds, values, strict=True):
            print(f"  {second:8.0f} s  {value:.4f}")
    if arguments.figure:
        _draw(curves, arguments.metric).savefig(arguments.figure, dpi=130)


def _label(run: Path) -> str:
    config = OmegaConf.load(run / ".hydra" / "config.yaml")
    return f"{config.conv.get('orthogonalizer', config.conv.name)}, {config.epochs} epochs, seed {config.seed}"


def _curve(run: Path, metric: str) -> tuple[list[float], list[float]]:
    rows = read_csv(run / "metrics.csv")
    if not rows:
        raise FileNotFoundError(run / "metrics.csv")
    seconds = list(itertools.accumulate(float(row["time_seconds"]) for row in rows))
    return seconds, [float(row[metric]) for row in rows]


def _draw(curves: dict[str, tuple[list[float], list[float]]], metric: str) -> "Figure":
    figure = blank_figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for label, (seconds, values) in curves.items():
        axes.plot([second / 60 for second in seconds], values, "o-", markersize=4, label=label)
    axes.set(xlabel="minutes of training", ylabel=readable(metric))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    main()
