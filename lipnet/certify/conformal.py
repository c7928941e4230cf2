"""Sets of classes that hold the true one with a chosen probability, wherever in a ball the input is moved to.

A class's signed radius ``r_k(x) = min_{j != k} (z_k - z_j) / C_kj``, with constants C of the differences of two logits,
is 1-Lipschitz in the input. Of exchangeable examples, a further one's true class has a signed radius of at least the
``floor(alpha (n + 1))``-th smallest of n true classes' with a probability of at least ``1 - alpha`` (split conformal
prediction, Vovk et al. 2005). Moved by no more than ``epsilon``, its signed radius falls by no more than that: the set
of all classes whose signed radius is at least the threshold less epsilon still holds it (Massena et al. 2025, arXiv
2506.05434).
"""

import math
from fractions import Fraction

from torch import Tensor

from lipnet.certify.certificate import Certificate


def least_calibration(alpha: float) -> int:
    """How many calibration examples there must be, so that a threshold exists."""
    return math.ceil(1 / _exact(alpha)) - 1


def conformal_threshold(certificate: Certificate, alpha: float) -> float:
    """The threshold of sets that miss the true class with a probability of at most ``alpha``.

    Args:
        certificate: of calibration examples and their true classes, of which neither the network's weights nor a choice
            among networks may depend.

    Raises:
        ValueError: there are too few of them.

    >>> threshold = conformal_threshold(certify(network, images, labels), alpha=0.1)
    """
    lower, _ = certificate.signed_radii()
    labels = certificate.labels
    return threshold_of(lower.gather(1, labels[:, None])[:, 0], alpha)


def threshold_of(radii: Tensor, alpha: float) -> float:
    """The ``floor(alpha (n + 1))``-th smallest of n numbers; alpha is meant as it is written, 0.1 as a tenth."""
    rank = math.floor(_exact(alpha) * (len(radii) + 1))
    if not rank:
        raise ValueError(f"alpha={alpha} needs at least {least_calibration(alpha)} examples, got {len(radii)}")
    return float(radii.double().sort().values[rank - 1])


def conformal_sets(certificate: Certificate, threshold: float, radius: float) -> Tensor:
    """The classes of each example's set, bool ``(examples, classes)``; the certificate's labels are not looked at.

    Whichever inputs within ``radius`` (L2) of the examples the certificate is of: the true class is missing with a
    probability of at most the threshold's alpha, over calibration and example together. A class that rounding leaves
    undecided is in the set.
    """
    _, upper = certificate.signed_radii()
    return upper >= math.nextafter(threshold - radius, -math.inf)


def surely_covered(certificate: Certificate, threshold: float) -> Tensor:
    """Bool ``(examples,)``: whose true class is in the set for any radius, wherever within it the input is moved."""
    lower, _ = certificate.signed_radii()
    return lower.gather(1, certificate.labels[:, None])[:, 0] >= threshold


def _exact(alpha: float) -> Fraction:
    return Fraction(repr(float(alpha)))
