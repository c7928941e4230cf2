"""What samples prove about a mean."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

_SIGNIFICANT = 2.5  # standard errors of normal values' skewness: theirs is beyond in one of a hundred samples


class Interval(NamedTuple):
    """An estimate and the two ends of its interval, which need not lie as far from it on both sides."""

    estimate: float
    low: float
    high: float


def mean_interval(values: Tensor, confidence: float, others: Tensor | None = None) -> Interval:
    """The two-sided interval of the mean of independent values, or of its difference to the mean of independent others.

    Student's interval (Welch's for a difference), ``m - t s`` to ``m + t s`` with the standard error s, misses the mean
    of a skewed distribution too often, nearly always on the same side. Where the skewness A of the estimate m is beyond
    what normal values show by chance, the interval reaches at least as far as the Cornish-Fisher expansion of Student's
    statistic to the second order in A (Hall 1992, The Bootstrap and Edgeworth Expansion, sections 2.5 and 2.6)::

        m + s (A (2 t^2 + 1) / 6 -+ (t + 5 A^2 t (4 t^2 - 1) / 72))

    It is never inside Student's interval. Equal values have an interval without length, which says nothing of values
    that are rarely drawn; fewer than two values, or values that are not finite, have the whole line.

    Args:
        values: ``(n,)``, of any scale.
        others: ``(m,)``.
    """
    samples = [values.double()] if others is None else [values.double(), others.double()]
    means = [float(part.mean()) for part in samples]
    estimate = means[0] if others is None else means[0] - means[1]
    if min(map(len, samples)) < 2 or not all(bool(torch.isfinite(part).all()) for part in samples):
        return Interval(estimate, -math.inf, math.inf)
    centred = [part - mean for part, mean in zip(samples, means, strict=True)]
    scale = max(float(part.abs().max()) for part in centred)  # squares and cubes neither overflow nor vanish
    if scale == 0:
        return Interval(estimate, estimate, estimate)
    moments = [_moments(part / scale) for part in centred]
    below, above = _reach(moments, confidence)
    return Interval(estimate, estimate - below * scale, estimate + above * scale)


class _Moments(NamedTuple):
    """The number of values, and unbiased estimates of their variance and third cumulant."""

    size: int
    variance: float
    third: float


def _moments(centred: Tensor) -> _Moments:
    count = len(centred)
    third = float(centred.pow(3).sum()) * count / ((count - 1) * (count - 2)) if count > 2 else 0.0
    return _Moments(count, float(centred.square().sum()) / (count - 1), third)


def _reach(moments: list[_Moments], confidence: float) -> tuple[float, float]:
    """How far the interval reaches below and above the estimate: a mean, or a difference of two."""
    from scipy.special import stdtrit  # takes a tenth of a second to import

    variances = [variance / count for count, variance, _ in moments]
    total = sum(variances)
    shares = [variance**2 / (part.size - 1) for variance, part in zip(variances, moments, strict=True)]
    freedom = total**2 / sum(shares)  # Welch and Satterthwaite's
    t = float(stdtrit(freedom, (1 + confidence) / 2))
    error = math.sqrt(total)
    signed = [sign * third / count**2 for sign, (count, _, third) in zip((1, -1), moments, strict=False)]
    skewness = sum(signed) / error**3
    by_chance = math.sqrt(sum(6 * variance**3 / count**5 for count, variance, _ in moments)) / error**3
    if abs(skewness) <= _SIGNIFICANT * by_chance:
        return t * error, t * error
    shift = skewness * (2 * t**2 + 1) / 6
    reach = t + 5 * skewness**2 * t * (4 * t**2 - 1) / 72
    return error * max(t, reach - shift), error * max(t, reach + shift)


def bernstein_margin(values: Tensor, width: float, delta: float, error: float = 0.0) -> float:
    """How far the mean of n independent values in an interval of length ``width`` may lie above their expectation.

    With probability at least ``1 - delta``, for every n: ``sqrt(2 V ln(2/delta) / n) + 7 width ln(2/delta) /
    (3 (n - 1))`` with the sample variance V (Maurer & Pontil 2009, arXiv 0907.3740, theorem 4). By symmetry it bounds
    the other side too, each at its own delta. The interval must not depend on the values.

    Args:
        error: how far each value given, and the mean that is taken of them, may be from the true ones.
    """
    count, term = len(values), math.log(2 / delta)
    deviation = float(values.double().std()) + math.sqrt(count / (count - 1)) * error  # by the triangle inequality
    return math.sqrt(2 * term / count) * deviation + 7 * width * term / (3 * (count - 1)) + error
