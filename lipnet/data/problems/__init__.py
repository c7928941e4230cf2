"""Examples whose outputs are constrained elsewhere: a few of them, as small Bayesian networks take them."""

from typing import Any

from lipnet.data.problems.problem import Problem
from lipnet.options.registry import load, taken

__all__ = ["Problem", "load_problem"]


def load_problem(option: Any, seed: int) -> Problem:
    """The problem of a ``dataset`` option; ``seed`` is the run's, of one whose examples the run draws."""
    make = load("dataset", option.name)
    problem: Problem = make(option, **taken(make, seed=seed))
    return problem
