"""Attacks of other packages draw from the global generators and write to the root logger; here they disturb nothing."""

import contextlib
import logging
from collections.abc import Iterator

import numpy
import torch


@contextlib.contextmanager
def isolated(generator: torch.Generator) -> Iterator[int]:
    """Seeds the global generators from ``generator`` and puts them back afterwards; gives the seed.

    Log lines up to INFO are not written meanwhile.
    """
    seed = int(torch.randint(2**31, (), generator=generator))
    before, disabled = numpy.random.get_state(), logging.root.manager.disable
    logging.disable(logging.INFO)
    numpy.random.seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            yield seed
        finally:
            numpy.random.set_state(before)
            logging.disable(disabled)
