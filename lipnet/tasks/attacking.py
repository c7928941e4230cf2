"""Attacks on the test split: accuracy by attack and radius, checked against the certificates example by example."""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lipnet.attacks import ATTACKS, InBall, Nearest
from lipnet.certify import margins
from lipnet.certify.radius import at_once
from lipnet.checks import radius_value
from lipnet.data.images import generator
from lipnet.schema import ATTACKS as NAMES
from lipnet.schema import FOOLBOX_ATTACKS, Config
from lipnet.training import distributed

_SHOWN = 16


class CertificateViolation(RuntimeError):
    """An attack succeeded where a certificate says that none can: an error in lipnet, never in the user's run."""


@dataclass(frozen=True)
class Attacked:
    """What one attack found.

    Attributes:
        accuracy: radius as written -> accuracy among the attacked examples.
        examples: how many were attacked: the first of the test split.
        seconds: what it took.
        median_distance: for an attack that looks for the nearest error, the median L2 distance to it over the attacked
            examples that are correct without it; ``None`` where it found none for half of them.
    """

    accuracy: dict[str, float]
    examples: int
    seconds: float
    median_distance: float | None = None


class Attacker:
    """Runs the attacks of ``attack.names``.

    Args:
        deployed: the network that attacks search on, float32.
        exact: the certified network, which must be fooled.
        certified: each example's largest certified radius.

    Attributes:
        adversarial, shown: see ``Certification``.
    """

    def __init__(
        self, deployed: nn.Module, exact: nn.Module, images: Tensor, labels: Tensor, certified: Tensor, config: Config
    ) -> None:
        self.deployed, self.exact, self.config = deployed, exact, config
        self.images, self.labels, self.certified = images, labels, certified
        self.radii = sorted(config.eval_radii, key=radius_value)
        in_ball = [name for name in config.attack.names if isinstance(ATTACKS[name], InBall)]
        self.shown = in_ball[-1] if in_ball else None
        self.adversarial = images[:_SHOWN].clone()

    def run(self, correct: Tensor) -> dict[str, Attacked]:
        """What every attack found, given which examples are classified correctly without one.

        Raises:
            CertificateViolation: an attack succeeded inside a certified radius.
        """
        return {name: self._run(name, correct) for name in self.config.attack.names}

    def _run(self, name: str, correct: Tensor) -> Attacked:
        started = time.perf_counter()
        if name in FOOLBOX_ATTACKS:
            correct = correct[: self.config.attack.foolbox_examples]
        distances = self._distances(name, correct)
        self._check(name, distances)
        accuracy = {radius: float((distances > radius_value(radius)).double().mean()) for radius in self.radii}
        median = None
        if isinstance(ATTACKS[name], Nearest) and bool(correct.any()):
            value = float(distances[correct].median())
            median = value if math.isfinite(value) else None
        return Attacked(accuracy, len(correct), time.perf_counter() - started, median)

    def _distances(self, name: str, correct: Tensor) -> Tensor:
        """The L2 distance of the nearest error that the attack found, float64; infinite where it found none."""
        attack = ATTACKS[name]
        radii = [math.inf] if isinstance(attack, Nearest) else [radius_value(written) for written in self.radii]
        distances = torch.where(correct, math.inf, 0.0).double()
        total = len(radii) * int(correct.sum())
        hidden = self.config.bars_hidden
        size = at_once(self.images.device, self.images.dtype)
        with tqdm(total=total, unit="example", desc=f"attacking ({name})", disable=hidden, leave=False) as bar:
            for place, radius in enumerate(radii):  # from the smallest: who has fallen is not attacked again
                for number, rows in enumerate(distances.isinf().nonzero()[:, 0].split(size)):
                    if len(rows) and number % distributed.size() == distributed.rank():
                        # A generator for each batch: the same numbers, however many processes share the batches.
                        random = generator(self.config.seed, 2, NAMES.index(name), place, number)
                        found = self._find(attack, rows, radius, random)
                        distances[rows] = self._distance_of_errors(found, rows, radius)
                        if name == self.shown:
                            shown = rows < len(self.adversarial)
                            self.adversarial[rows[shown]] = found[shown]
                    bar.update(len(rows))
                distances = distributed.smallest(distances)
        return distances

    def _find(self, attack: InBall | Nearest, rows: Tensor, radius: float, random: torch.Generator) -> Tensor:
        images, labels, options = self.images[rows], self.labels[rows], self.config.attack
        if isinstance(attack, InBall):
            return attack.find(self.deployed, images, labels, radius, options, random)
        return attack.find(self.deployed, images, labels, options, random)

    def _distance_of_errors(self, found: Tensor, rows: Tensor, radius: float) -> Tensor:
        """Infinite unless the certified network errs on the image, which must lie in the ball and in [0, 1]."""
        distance = torch.linalg.vector_norm((found.double() - self.images[rows].double()).flatten(1), dim=1)
        pixels = found.flatten(1)
        valid = (distance <= radius) & (pixels.amin(1) >= 0) & (pixels.amax(1) <= 1)
        with torch.no_grad():
            margin = margins(self.exact(found.to(next(self.exact.parameters()).dtype)), self.labels[rows])
        return torch.where(valid & (margin <= 0), distance, math.inf)

    def _check(self, name: str, distances: Tensor) -> None:
        broken = (distances < self.certified[: len(distances)]).nonzero()[:, 0]
        if len(broken):
            raise CertificateViolation(
                f"{name} fooled the network inside the certified radius of {len(broken)} test examples (first: example "
                f"{int(broken[0])}, at distance {float(distances[broken[0]]):.6g}, certified to "
                f"{float(self.certified[broken[0]]):.6g}). This is an error in lipnet; please report it with the run "
                "directory."
            )
