"""What samples prove about a mean."""

import math
from statistics import NormalDist

from torch import Tensor


def normal_half_width(variance_of_mean: float, confidence: float) -> float:
    """Half the width of the two-sided interval of the central limit theorem; right for many samples."""
    return NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance_of_mean)


def bernstein_margin(values: Tensor, width: float, delta: float, error: float = 0.0) -> float:
    """How far the mean of n independent values in an interval of length ``width`` may lie above their law's mean.

    With probability at least ``1 - delta``, for every n: ``sqrt(2 V ln(2/delta) / n) + 7 width ln(2/delta) /
    (3 (n - 1))`` with the sample variance V (Maurer & Pontil 2009, arXiv 0907.3740, theorem 4). By symmetry it bounds
    the other side too, each at its own delta. The interval must not depend on the values.

    Args:
        error: how far each value given, and the mean that is taken of them, may be from the true ones.
    """
    count, term = len(values), math.log(2 / delta)
    deviation = float(values.double().std()) + math.sqrt(count / (count - 1)) * error  # by the triangle inequality
    return math.sqrt(2 * term / count) * deviation + 7 * width * term / (3 * (count - 1)) + error
