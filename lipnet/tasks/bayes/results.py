"""What ``results.json`` holds of a posterior. Imports no torch."""

from typing import TypedDict

from lipnet.options.config import Config
from lipnet.options.option import of_kind
from lipnet.options.posteriors import Inference
from lipnet.tasks.numbers import Numbers, numbers_of
from lipnet.tasks.results import Start


class Diagnostics(TypedDict, total=False):
    """Of chains: the first two by ArviZ, where it is installed; the others as shares."""

    r_hat: float
    effective_samples: float
    acceptance: float
    divergences: float


class Found(TypedDict):
    """Fractions are in [0, 1]; what ends in ``_unconstrained`` is of the posterior without the constraints.

    ``violation`` is the share of points at which the mean violates, ``functions_violating`` that of networks that
    violate anywhere, and ``certified_violation`` that of kept networks which are not proved to violate nowhere.
    """

    violation: float
    violation_unconstrained: float | None
    functions_violating: float
    functions_violating_unconstrained: float | None
    certified_violation: float
    unproved: float
    attacked_violation: float
    train_error: float
    train_error_unconstrained: float | None
    test_error: float | None
    test_error_unconstrained: float | None
    log_likelihood: float | None
    log_likelihood_unconstrained: float | None
    coverage: float | None
    coverage_unconstrained: float | None
    members: int
    effective_members: float
    r_hat: float | None
    effective_samples: float | None
    acceptance: float | None
    divergences: float | None


class PosteriorResults(TypedDict):
    """What tables read of such a run, beside what they read of any."""

    bayes: Found


class Results(Start, PosteriorResults):
    """``lipschitz_upper_bound`` is that of the posterior mean."""

    status: str
    lipschitz_upper_bound: float
    eval_seconds: float
    peak_memory_bytes: int | None


def numbers(config: Config) -> Numbers:
    """The numbers of such a run."""
    assert of_kind(config.inference, Inference)
    return numbers_of(Results, {}, ("eval_seconds", "peak_memory_bytes"), without=Start)
