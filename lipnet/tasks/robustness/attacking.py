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

from lipnet.attacks import InBall, Nearest, attack_named
from lipnet.certify import margins
from lipnet.certify.radius import Examples, model_logits
from lipnet.errors import CertificateViolation
from lipnet.options.checks import radius_value
from lipnet.options.config import Config
from lipnet.options.tasks import FOOLBOX_ATTACKS
from lipnet.randomness import stream
from lipnet.training import distributed

_SHOWN = 16
_TOGETHER = 512  # in one call of an attack: those that withstand it fill up its batches as others fall
_MEASURED = 500  # for a median distance


@dataclass(frozen=True)
class Attacked:
    """What one attack found.

    Attributes:
        accuracy: radius as written -> accuracy among the examples, whatever other attacks found.
        examples: how many it is about: the first of the test split.
        seconds: what it took.
        median_distance: for an attack that looks for the nearest error, the median L2 distance to it over the examples
            that are correct without it, or five hundred of them; ``None`` where it found none for half of these.
    """

    accuracy: dict[str, float]
    examples: int
    seconds: float
    median_distance: float | None = None


class InUnitCube(nn.Module):
    """A network of vectors in units of their own, for attacks, which stay in [0, 1]: one scale for all coordinates."""

    def __init__(self, network: nn.Module, low: Tensor, side: float) -> None:
        super().__init__()
        self.network, self.low, self.side = network, low, side

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.network(self.low + self.side * inputs)
        return outputs


class Attacker:
    """Runs the attacks of ``attack.names``.

    Args:
        deployed: the network that attacks search on, float32.
        exact: the certified network, which must be fooled.
        images, labels: as many as there are labels are attacked.
        certified: each example's largest certified radius.
        box: of vectors in units of their own, the cube in which attacks stay.

    Attributes:
        adversarial, shown: see ``Certification``.
    """

    def __init__(
        self, deployed: nn.Module, exact: nn.Module, images: Examples, labels: Tensor, certified: Tensor,
        config: Config, box: tuple[Tensor, float] | None = None,
    ) -> None:  # fmt: skip
        self.deployed, self.exact, self.config = deployed, exact, config
        self.low, self.side = (torch.zeros(()), 1.0) if box is None else box
        if box is not None:
            self.deployed = InUnitCube(deployed, *box)
        self.images, self.labels, self.certified = images, labels, certified
        self.radii = sorted(config.eval_radii, key=radius_value)
        in_ball = [name for name in config.attack.names if isinstance(attack_named(name), InBall)]
        self.shown = in_ball[-1] if in_ball else None
        self.adversarial = images[: min(_SHOWN, len(labels))].clone()
        # Who is attacked though proved: the first in this order, the same for every attack.
        order = torch.randperm(len(labels), generator=stream(config.seed, "attacked though proved"))
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
        measured = torch.zeros_like(correct)
        if isinstance(attack_named(name), Nearest):
            measured = self._drawn(correct, _MEASURED)
        distances = self._distances(name, correct, measured)
        self._check(name, distances)
        nearest[: len(distances)] = nearest[: len(distances)].minimum(distances)
        seconds = time.perf_counter() - started
        return Attacked(self._accuracy(distances), len(correct), seconds, _finite_median(distances[measured]))

    def _accuracy(self, distances: Tensor) -> dict[str, float]:
        return {radius: float((distances > radius_value(radius)).double().mean()) for radius in self.radii}

    def _distances(self, name: str, correct: Tensor, measured: Tensor) -> Tensor:
        """The L2 distance of the nearest error that the attack found, float64; infinite where it found none.

        Those of ``measured`` are searched to the end, the others until it is known on which side of the radii they lie.
        """
        attack, sought = attack_named(name), self._sought(measured)
        radii = [radius_value(written) for written in self.radii]
        if isinstance(attack, Nearest):
            radii = radii[-1:]
        distances = _nothing_found(correct)
        hidden = self.config.bars_hidden
        with tqdm(unit="example", desc=f"attacking ({name})", disable=hidden, leave=False) as bar:
            for radius in radii:  # from the smallest: who has fallen is not attacked again
                within = radius if isinstance(attack, InBall) else math.inf
                attacked = self._undecided(distances, radius) | measured
                if name == self.shown:
                    attacked[:_SHOWN] |= distances[:_SHOWN].isinf()
                bar.reset(int(attacked.sum()))
                for number, rows in enumerate(attacked.nonzero()[:, 0].split(_TOGETHER)):
                    if len(rows) and number % distributed.size() == distributed.rank():
                        # A stream for each batch: the same numbers, however many processes share the batches.
                        random = stream(self.config.seed, "attack", name, str(within), number)
                        images, labels, options = self._inside(rows), self.labels[rows], self.config.attack
                        if isinstance(attack, InBall):
                            inner = radius / self.side
                            found = attack.find(self.deployed, images, labels, inner, options, random)
                        else:
                            inner_sought = sought[rows] / self.side
                            found = attack.find(self.deployed, images, labels, options, random, inner_sought)
                        distances[rows] = self._distance_of_errors(found, rows, within)
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
        return (right & ~proved) | self._drawn(proved, math.ceil(self.config.attack.proved * int(proved.sum())))

    def _drawn(self, among: Tensor, count: int) -> Tensor:
        rows = among.nonzero()[:, 0]
        drawn = torch.zeros_like(among)
        drawn[rows[self.place[rows].argsort()[:count]]] = True
        return drawn

    def _sought(self, measured: Tensor) -> Tensor:
        """Between which two distances the nearest error matters, ``(examples, 2)``, for an attack that looks for it.

        Where a radius is not proved, an error within the smallest of these decides them all, and so does none within
        the largest. Every distance matters for the others: those proved at all radii, and those of ``measured``.
        """
        radii = torch.tensor([radius_value(written) for written in self.radii]).to(self.certified)
        smallest = torch.searchsorted(radii, self.certified[: len(measured)])
        everything = measured | (smallest == len(radii))
        within = (1 - 1e-5) * radii[smallest.clamp_max(len(radii) - 1)]  # rounded in the search
        largest = torch.full_like(within, float(radii[-1]))
        sought = torch.stack((within.masked_fill(everything, 0), largest.masked_fill(everything, math.inf)), 1)
        return sought.to(self.images.device, self.images.dtype)

    def _distance_of_errors(self, found: Tensor, rows: Tensor, radius: float) -> Tensor:
        """Infinite unless the certified network errs on the image, which must lie in the ball and in [0, 1].

        An image that the attack left as it was is not evaluated: it is correct, or it would not have been attacked.
        """
        pixels = found.flatten(1)
        found = self._outside(found)
        distance = torch.linalg.vector_norm((found.double() - self.images[rows].double()).flatten(1), dim=1)
        valid = (distance <= radius) & (pixels.amin(1) >= 0) & (pixels.amax(1) <= 1)
        errs = valid & (distance > 0)
        moved = errs.nonzero()[:, 0]
        if len(moved):
            tried = found[moved].to(next(self.exact.parameters()).dtype)
            errs[moved] = margins(model_logits(self.exact, tried), self.labels[rows[moved]]) <= 0
        return torch.where(errs, distance, math.inf)

    def _inside(self, rows: Tensor) -> Tensor:
        """Examples as attacks see them, in [0, 1]."""
        images = self.images[rows]
        return images if not self.low.dim() else ((images - self.low) / self.side).clamp(0, 1)

    def _outside(self, found: Tensor) -> Tensor:
        """What attacks found, in the units of the examples."""
        return found if not self.low.dim() else self.low + self.side * found

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


def _finite_median(distances: Tensor) -> float | None:
    """``None`` where there is no distance, or half of them are infinite."""
    if len(distances) == 0:
        return None
    median = float(distances.median())
    return median if math.isfinite(median) else None
