"""Losses of a prediction of numbers: one value a prediction, the mean over the coordinates of the outcome."""

from collections.abc import Callable

from torch import Tensor

from lipnet.options.option import Named
from lipnet.options.training import Pinball

Regression = Callable[[Tensor, Tensor], Tensor]  # predictions and outcomes (..., dimensions) -> (...)


def squared(option: Named) -> Regression:
    """``|y - x|²``, least in expectation for the mean."""
    return lambda predictions, outcomes: (predictions - outcomes).square().mean(-1)


def absolute(option: Named) -> Regression:
    """``|y - x|``, least in expectation for the median."""
    return lambda predictions, outcomes: (predictions - outcomes).abs().mean(-1)


def pinball(option: Pinball) -> Regression:
    """``max(q (x - y), (q - 1) (x - y))``, least in expectation for the quantile q (Koenker & Bassett 1978)."""

    def loss(predictions: Tensor, outcomes: Tensor) -> Tensor:
        errors = outcomes - predictions
        return (option.quantile * errors).maximum((option.quantile - 1) * errors).mean(-1)

    return loss
