#!/usr/bin/env python
"""Times an iteration of Hamiltonian Monte Carlo with all chains in one batch beside one chain after the other.

    python scripts/benchmarks/chains.py                                   # a toy, 20 chains
    python scripts/benchmarks/chains.py --dataset three_blobs --chains 50 --processor-time

Both have the density and the step of a run with these options; ratios are paired by round.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

sys.path.insert(0, str(Path(__file__).parent))
from benchmark import interleave, table

from lipnet.options.folder import config_dir
from lipnet.options.option import of_kind
from lipnet.options.parse import parse
from lipnet.options.posteriors import HMC as Option
from lipnet.tasks.bayes.hmc import HMC
from lipnet.tasks.bayes.task import CONSTRAINED, Bayes
from lipnet.tasks.session import Session


def main(words: Sequence[str] | None = None) -> dict:
    """Prints times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="quartic")
    parser.add_argument("--chains", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60, help="no new round after this time")
    parser.add_argument("--processor-time", action="store_true", help="not the clock's: for a machine with other work")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args(words)
    torch.set_num_threads(arguments.threads)
    batch, alone = (sampler(arguments.dataset, count) for count in (arguments.chains, 1))
    steps = {"in one batch": iteration(batch, 1), "one after the other": iteration(alone, arguments.chains)}
    clock = time.process_time if arguments.processor_time else time.perf_counter
    times = interleave(steps, arguments.rounds, arguments.seconds, warm_ups=1, least=3, clock=clock)
    return table(f"an iteration of {arguments.chains} chains, {arguments.dataset}", times)


def sampler(dataset: str, chains: int) -> HMC:
    """As a run with these options has it, without its descent."""
    overrides = ["task=bayes", f"dataset={dataset}", "inference=hmc", f"inference.chains={chains}"]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = parse(compose("config", overrides=overrides))
    density = Bayes(Session(Path(), torch.device("cpu"), {}, [], config)).density(CONSTRAINED)
    option = dataclasses.replace(of_kind(config.inference, Option), descent=0)
    return HMC(option, density, config.seed, CONSTRAINED)


def iteration(chains: HMC, count: int) -> Callable[[], object]:
    """So many iterations, each with the step as it is."""
    state = chains.start()
    after = chains.option.burn_in

    def run() -> None:
        for _ in range(count):
            chains.step(state, after)

    return run


if __name__ == "__main__":
    main()
