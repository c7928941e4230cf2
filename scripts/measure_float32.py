#!/usr/bin/env python
"""What float32 costs finished runs: certified accuracy, second passes of the assured network, and its time.

    python scripts/measure_float32.py RUN...     # a row of Markdown for each run and radius

Certified accuracies, in %, are of the whole test split. The assured network is chosen as task=export task.assured=true
chooses it, by 2,000 images that are not tested. Seconds are processor time of one thread for 2,000 test images, 128 at
a time, beside the plain float32 network with the same sums in blocks: medians of five rounds, in turn; and of certify,
once, for the whole test split in both arithmetics.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from lipnet import load_run, to_plain
from lipnet.certify import assured, certify
from lipnet.certify.assured import evaluated_again
from lipnet.data.images import load_splits
from lipnet.options.checks import radius_value
from lipnet.tasks.robustness.deployment import not_tested

_TIMED, _BATCH, _ROUNDS = 2000, 128, 5
HEAD = """\
| run | radius | float64 | float32 | difference | second passes | layers in float32 | assured / float32 | certify |
|---|---|---|---|---|---|---|---|---|"""


def processor_seconds(functions: list[Callable[[Tensor], Tensor]], images: Tensor) -> list[float]:
    """Of each function on the images, batch by batch."""
    rounds: list[list[float]] = []
    for _ in range(1 + _ROUNDS):  # the first warms up
        rounds.append([])
        for function in functions:
            started = time.process_time()
            for batch in images.split(_BATCH):
                function(batch)
            rounds[-1].append(time.process_time() - started)
    return [median(times) for times in zip(*rounds[1:], strict=True)]


@torch.no_grad()
def rows(directory: str) -> Iterator[str]:
    """The rows of a run."""
    run = load_run(directory)
    splits = load_splits(run.config.images, run.config.seed)
    test = splits.test
    images, labels, plain = test.pixels(), test.labels, to_plain(run.model).requires_grad_(False)
    started = time.process_time()
    found = certify(to_plain(run.model).requires_grad_(False).double(), images, labels)
    certified = time.process_time() - started
    deployed = assured(run.model, images.shape[1:], not_tested(splits))
    again = evaluated_again(deployed, images)
    float32, both = processor_seconds([plain, deployed], images[:_TIMED])
    layers = f"{deployed.switch} of {len(deployed.rounds)}"
    ratio = f"{both:.2f} s / {float32:.2f} s = {both / float32:.2f}"
    of_network = f"{100 * again:.2f} % | {layers} | {ratio} | {certified:.1f} s"
    for radius in run.config.eval_radii:
        exact, coarse = (
            100 * float((found.radii(dtype) > radius_value(radius)).double().mean())
            for dtype in (torch.float64, torch.float32)
        )
        name = Path(directory).name
        yield f"| {name} | {radius} | {exact:.2f} | {coarse:.2f} | {exact - coarse:.2f} | {of_network} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a finished run on labelled images")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(HEAD)
    for directory in options.runs:
        for row in rows(directory):
            print(row, flush=True)


if __name__ == "__main__":
    main()
