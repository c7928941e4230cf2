"""Attacks on the test split: accuracy by attack and radius, checked against the certificates example by example.

An attack is spared where its outcome is known: an example that is misclassified, that this attack broke at a smaller
radius, or that is proved at this one. A share of the proved ones is attacked all the same, so that a wrong certificate
is found. What one attack found never spares another: the accuracy under each is that of the attack alone.
"""

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
_BATCHES, _ORDER = 2, 3  # streams of random numbers


class CertificateViolation(RuntimeError):
    """An attack succeeded where a certificate says that none can: an error in lipnet, never in the user's run."""


@dataclass(frozen=True)
class Attacked:
    """What one attack found.

    Attributes:
        accuracy: radius as written -> accuracy among the examples, whatever other attacks found.
        examples: how many it is about: the first of the test split.
        seconds: what it took.
        median_distance: for an attack that looks for the nearest error, the median L2 distance to it over the examples
            that are correct without it, those attacked though proved standing for all that are proved; ``None`` where
            it found none for half of them.
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
        # Who is attacked though proved: the first in this order, the same for every attack.
        order = torch.randperm(len(images), generator=generator(config.seed, _ORDER))
        self.place = order.argsort().to(certified.device)

    def run(self, correct: Tensor) -> tuple[dict[str, Attacked], dict[str, float]]:
        """What every attack found, given which examples are classified correctly without one.

        Returns:
            Attack -> what it found; radius as written -> accuracy after all of them together.

        Raises:
            CertificateViolation: an attack succeeded inside a certified radius.
        """
        nearest = _nothing_found(correct)
        attacked = {name: self._run(name, correct, nearest) for name in self.config.attack.names}
        return attacked, self._accuracy(nearest) if attacked else {}

    def _run(self, name: str, correct: Tensor, nearest: Tensor) -> Attacked:
        """One attack; ``nearest`` is lowered to the distances of what it found."""
        started = time.perf_counter()
        if name in FOOLBOX_ATTACKS:
            correct = correct[: self.config.attack.foolbox_examples]
        distances = self._distances(name, correct)
        self._check(name, distances)
        nearest[: len(distances)] = nearest[: len(distances)].minimum(distances)
        median = self._median(distances, correct) if isinstance(ATTACKS[name], Nearest) else None
        return Attacked(self._accuracy(distances), len(correct), time.perf_counter() - started, median)

    def _accuracy(self, distances: Tensor) -> dict[str, float]:
        return {radius: float((distances > radius_value(radius)).double().mean()) for radius in self.radii}

    def _distances(self, name: str, correct: Tensor) -> Tensor:
        """The L2 distance of the nearest error that the attack found, float64; infinite where it found none."""
        attack = ATTACKS[name]
        radii = [radius_value(written) for written in self.radii]
        if isinstance(attack, Nearest):
            radii = radii[-1:]
        distances = _nothing_found(correct)
        hidden = self.config.bars_hidden
        size = at_once(self.images.device, self.images.dtype)
        with tqdm(unit="example", desc=f"attacking ({name})", disable=hidden, leave=False) as bar:
            for place, largest in enumerate(radii):  # from the smallest: who has fallen is not attacked again
                attacked = self._undecided(distances, largest)
                if name == self.shown:
                    attacked[:_SHOWN] |= distances[:_SHOWN].isinf()
                radius = math.inf if isinstance(attack, Nearest) else largest
                bar.reset(int(attacked.sum()))
                for number, rows in enumerate(attacked.nonzero()[:, 0].split(size)):
                    if len(rows) and number % distributed.size() == distributed.rank():
                        # A generator for each batch: the same numbers, however many processes share the batches.
                        random = generator(self.config.seed, _BATCHES, NAMES.index(name), place, number)
                        found = self._find(attack, rows, radius, random)
                        distances[rows] = self._distance_of_errors(found, rows, radius)
                        if name == self.shown:
                            shown = rows < len(self.adversarial)
                            self.adversarial[rows[shown]] = found[shown]
                    bar.update(len(rows))
                distances = distributed.smallest(distances)
        return distances

    def _undecided(self, distances: Tensor, radius: float) -> Tensor:
        """Who has no error yet and is not proved at the radius; and a share, rounded up, of those that are proved."""
        right = distances.isinf()
        proved = right & (self.certified[: len(distances)] > radius)
        return (right & ~proved) | self._drawn(proved)

    def _drawn(self, proved: Tensor) -> Tensor:
        rows = proved.nonzero()[:, 0]
        count = math.ceil(self.config.attack.proved * len(rows))
        drawn = torch.zeros_like(proved)
        drawn[rows[self.place[rows].argsort()[:count]]] = True
        return drawn

    def _median(self, distances: Tensor, correct: Tensor) -> float | None:
        """Of those with and without a proof at the largest radius, weighed by how many of them were attacked."""
        proved = correct & (self.certified[: len(distances)] > radius_value(self.radii[-1]))
        drawn = self._drawn(proved)
        weights = (correct & ~proved).double()
        weights[drawn] = int(proved.sum()) / max(1, int(drawn.sum()))
        ordered = distances.where(correct, math.inf).sort()
        reached = weights[ordered.indices].cumsum(0) >= int(correct.sum()) / 2
        value = float(ordered.values[reached][0]) if bool(reached.any()) else math.inf
        return value if math.isfinite(value) else None

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


def _nothing_found(correct: Tensor) -> Tensor:
    """The distance of the nearest error before any attack, float64: 0 where the example itself is one."""
    return torch.where(correct, math.inf, 0.0).double()
