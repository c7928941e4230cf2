"""Pairs of distributions whose Wasserstein-1 distance is known, and the protocol for others."""

from typing import Any

from lipnet.data.pairs.pair import Pair, PairBatches, check_pair
from lipnet.options.facts import inputs_and_outputs
from lipnet.options.registry import load

__all__ = ["Pair", "PairBatches", "check_pair", "load_pair"]


def load_pair(option: Any) -> Pair:
    """The pair of a ``dataset`` option, checked.

    Raises:
        UserError: the files are missing, or the pair cannot be what the option says.
    """
    pair: Pair = load("dataset", option.name)(option)
    check_pair(pair, inputs_and_outputs(option)[0])
    return pair
