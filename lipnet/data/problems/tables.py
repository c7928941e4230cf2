"""Two problems on a table of 442 diabetes patients (Efron et al. 2004), which scikit-learn ships.

Each of ten measurements, and the progression of the disease within a year, has mean 0 and standard deviation 1.
"""

import torch
from torch import Tensor

from lipnet.data.problems.problem import Problem, held_out_numbers
from lipnet.options.posteriors import Classification, Regression

_BMI = 2  # the column of the body mass index
_LIGHT = 0.8  # share of patients, the lightest, that are learned from
_HELD_OUT = 0.2  # of these


def diabetes(option: Regression) -> Problem:
    """The progression, learned from patients who are not heavy: what is known of the others is a constraint."""
    inputs, targets, deviation = _standardised()
    light = inputs[:, _BMI] <= inputs[:, _BMI].quantile(_LIGHT)
    return _split(inputs[light], targets[light], _ranges(inputs), "diabetes", deviation)


def diabetes_risk(option: Classification) -> Problem:
    """Whether the progression is above the median; a constraint says of whom it may not be predicted."""
    inputs, targets, _ = _standardised()
    return _split(inputs, (targets > targets.median()).long(), _ranges(inputs), "diabetes_risk", 1.0)


def _standardised() -> tuple[Tensor, Tensor, float]:
    """Inputs ``(442, 10)``, targets ``(442,)``, and the targets' standard deviation before."""
    from sklearn.datasets import load_diabetes

    table = load_diabetes(scaled=False)
    inputs, targets = torch.tensor(table.data), torch.tensor(table.target)
    deviation = float(targets.std())
    return (inputs - inputs.mean(0)) / inputs.std(0), (targets - targets.mean()) / deviation, deviation


def _ranges(inputs: Tensor) -> Tensor:
    return torch.stack([inputs.amin(0), inputs.amax(0)], 1)


def _split(inputs: Tensor, targets: Tensor, domain: Tensor, name: str, units: float) -> Problem:
    order = torch.randperm(len(inputs), generator=held_out_numbers(name))
    held_out, learned = order.split([round(_HELD_OUT * len(order)), len(order) - round(_HELD_OUT * len(order))])
    return Problem(inputs[learned], targets[learned], (inputs[held_out], targets[held_out]), domain, units)
