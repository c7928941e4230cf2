"""Robust conformal sets in an evaluation: calibrated, measured on test examples, and attacked."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lipnet.attacks.gradient import lowest_signed_radii
from lipnet.certify import Certificate, certify, conformal_sets, conformal_threshold
from lipnet.certify.conformal import least_calibration, surely_covered
from lipnet.certify.plain import to_plain
from lipnet.data.images import Pixels, Split, Splits
from lipnet.errors import CertificateViolation, UserError
from lipnet.options.checks import radius_value
from lipnet.options.config import Config
from lipnet.randomness import stream
from lipnet.tasks.robustness.attacking import InUnitCube
from lipnet.tasks.robustness.results import Conformal

_CURVE = 60  # radii of the curves in the figure


@dataclass
class Found:
    """What was found of conformal sets.

    Attributes:
        threshold: of the sets, see ``lipnet.certify.conformal``.
        calibration: how many examples it was found on.
        certificate: of the measured test examples.
        covered, sizes: radius as written, ``0`` first -> of each test example, whether its class is in its set, and how
            many classes are.
        attacked_covered, attacked_sizes: the same of the first test examples, attacked within that radius.
        plain_covered: of these, whether the set for no radius has kept the class.
    """

    alpha: float
    threshold: float
    calibration: int
    certificate: Certificate
    covered: dict[str, Tensor] = field(default_factory=dict)
    sizes: dict[str, Tensor] = field(default_factory=dict)
    attacked_covered: dict[str, Tensor] = field(default_factory=dict)
    attacked_sizes: dict[str, Tensor] = field(default_factory=dict)
    plain_covered: dict[str, Tensor] = field(default_factory=dict)

    @property
    def proved(self) -> float:
        """The share of test examples whose class is in their sets wherever within the radius they are moved."""
        return _mean(surely_covered(self.certificate, self.threshold))

    def curves(self, largest: float) -> tuple[list[float], list[float], list[float]]:
        """Radii from 0 on; coverage and mean size of the sets for each, at the test examples themselves."""
        radii = [largest * number / (_CURVE - 1) for number in range(_CURVE)]
        sets = [conformal_sets(self.certificate, self.threshold, radius) for radius in radii]
        return radii, [_mean(_has(one, self.certificate.labels)) for one in sets], [_mean(one.sum(1)) for one in sets]

    def results(self) -> Conformal:
        """For ``results.json``."""
        found: Conformal = {
            "alpha": self.alpha,
            "calibration_examples": self.calibration,
            "examples": len(self.certificate.labels),
            "threshold": self.threshold,
            "certified_coverage": self.proved,
            "coverage": {radius: _mean(covered) for radius, covered in self.covered.items()},
            "set_size": {radius: _mean(sizes) for radius, sizes in self.sizes.items()},
        }
        if self.attacked_covered:
            found["attacked_examples"] = len(next(iter(self.attacked_covered.values())))
            found["attacked_coverage"] = {radius: _mean(covered) for radius, covered in self.attacked_covered.items()}
            found["attacked_set_size"] = {radius: _mean(sizes) for radius, sizes in self.attacked_sizes.items()}
            found["attacked_coverage_of_plain"] = {
                radius: _mean(covered) for radius, covered in self.plain_covered.items()
            }
        return found


def calibration_and_measured(splits: Splits, config: Config) -> tuple[Split, Split]:
    """The examples that the threshold is found on, and the test examples that the sets are measured on.

    Raises:
        UserError: there are too few of the former.
    """
    alpha, calibration, measured = config.conformal.alpha, splits.validation, splits.test
    assert alpha is not None
    if config.conformal.calibration == "test":
        order = torch.randperm(len(measured), generator=stream(config.seed, "calibration"))
        half = len(measured) // 2
        calibration, measured = measured.take(order[:half].sort().values), measured.take(order[half:].sort().values)
    least = least_calibration(alpha)
    if len(calibration) < least:
        more = (
            ""
            if config.conformal.calibration == "test"
            else "a larger dataset.validation, conformal.calibration=test, or "
        )
        raise UserError(
            f"conformal.alpha={alpha:g}: needs at least {least} calibration examples, and conformal.calibration="
            f"{config.conformal.calibration} has {len(calibration)}; use {more}a conformal.alpha of at least "
            f"{math.ceil(1e4 / (len(calibration) + 1)) / 1e4:g}."
        )
    return calibration, measured


def evaluate_conformal(model: nn.Module, calibration: Split, measured: Split, config: Config) -> Found:
    """Calibrates on the one split, and measures and attacks on the other.

    Sets are of the network as evaluated in ``config.certify_dtype``, and count what that may round.

    Raises:
        CertificateViolation: an attack has driven a class out of a set that it is proved to stay in.
    """
    alpha = config.conformal.alpha
    assert alpha is not None
    exact = to_plain(model.eval()).requires_grad_(False).to(getattr(torch, config.certify_dtype))
    threshold = conformal_threshold(certify(exact, Pixels(calibration), calibration.labels), alpha)
    images, labels = Pixels(measured), measured.labels
    certificate = certify(exact, images, labels)
    found = Found(alpha, threshold, len(calibration), certificate)
    for name in ("0", *config.eval_radii):
        sets = conformal_sets(certificate, threshold, radius_value(name))
        found.covered[name], found.sizes[name] = _has(sets, labels), sets.sum(1)
    if config.attack.names:
        count = config.attack.examples or len(images)
        searched, few = (
            to_plain(model, blocked=False).requires_grad_(False),
            measured.take(torch.arange(len(images))[:count]),
        )
        proved = surely_covered(certificate, threshold)[:count]
        for name in config.eval_radii:
            moved = _attacked(searched, certificate.constants, few, radius_value(name), config)
            there = certify(exact, moved, few.labels)
            sets = conformal_sets(there, threshold, radius_value(name))
            found.attacked_covered[name], found.attacked_sizes[name] = _has(sets, few.labels), sets.sum(1)
            found.plain_covered[name] = _has(conformal_sets(there, threshold, 0.0), few.labels)
            _check(name, proved & ~found.attacked_covered[name])
    return found


def _attacked(searched: nn.Module, constants: Tensor, split: Split, radius: float, config: Config) -> Tensor:
    """Images in the balls, by which the label's signed radius falls as far as the attack can bring it."""
    images, labels = split.pixels(), split.labels
    low, side = (torch.zeros((), device=images.device), 1.0) if split.box is None else split.box
    inside = images if split.box is None else ((images - low) / side).clamp(0, 1)
    network = searched if split.box is None else InUnitCube(searched, low, side)
    random = stream(config.seed, "attack on conformal sets", str(radius))
    found = lowest_signed_radii(
        network, constants, inside, labels, radius / side, config.attack.steps, config.attack.restarts, random
    )
    if split.box is not None:
        found = low + side * found
    distances = torch.linalg.vector_norm((found.double() - images.double()).flatten(1), dim=1)
    outside = distances > radius  # by the rounding of a change of units
    found[outside] = images[outside]
    return found


def _check(radius: str, lost: Tensor) -> None:
    broken = lost.nonzero()[:, 0]
    if len(broken):
        raise CertificateViolation(
            f"an attack within {radius} drove the classes of {len(broken)} test examples out of sets that they are "
            f"proved to stay in (first: example {int(broken[0])}). This is an error in lipnet; please report it with "
            "the run directory."
        )


def _has(sets: Tensor, labels: Tensor) -> Tensor:
    return sets.gather(1, labels.to(sets.device)[:, None])[:, 0]


def _mean(numbers: Tensor) -> float:
    return float(numbers.double().mean()) if len(numbers) else math.nan
