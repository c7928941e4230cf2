"""The final evaluation of a classifier: clean, certified and attacked accuracy on the test split."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lipnet.attacks import fgsm, pgd
from lipnet.certify import certified_radii, jacobian_lower_bound, lipschitz_bound, margins
from lipnet.certify.radius import model_logits
from lipnet.checks import radius_value
from lipnet.config import Config
from lipnet.data.images import Split, generator
from lipnet.models import to_plain

log = logging.getLogger("lipnet")

_BATCH = 500
_JACOBIAN_EXAMPLES = 128


class CertificateViolation(RuntimeError):
    """An attack succeeded where a certificate says that none can: an error in lipnet, never in the user's run."""


@dataclass
class Certification:
    """What the evaluation found.

    Attributes:
        lipschitz: upper bound of the evaluated network.
        lower: the largest Jacobian norm at test examples.
        predictions, margins, radii: of every test example, in the split's order.
        attacked: attack -> radius as written -> accuracy among the attacked examples.
        images, adversarial: a few examples and their PGD images at the largest radius.
    """

    lipschitz: float
    lower: float
    predictions: Tensor
    margins: Tensor
    radii: Tensor
    labels: Tensor
    indices: Tensor
    attacked: dict[str, dict[str, float]]
    images: Tensor
    adversarial: Tensor

    @property
    def clean_accuracy(self) -> float:
        return _fraction(self.margins > 0)

    def certified_accuracy(self, radius: float) -> float:
        """The fraction of examples whose certified radius is larger than ``radius``."""
        return _fraction(self.radii > radius)

    def rows(self) -> list[dict[str, float | int]]:
        """One row an example, for ``certificates.csv``; ``index`` counts in the data set's own test split."""
        columns = (self.indices, self.labels, self.predictions, self.margins, self.radii)
        names = ("index", "label", "prediction", "margin", "certified_radius")
        return [dict(zip(names, row, strict=True)) for row in zip(*(column.tolist() for column in columns), strict=True)]


def certify_and_attack(model: nn.Module, split: Split, config: Config, progress: bool | None = None) -> Certification:
    """Evaluates the network that would be deployed: plain layers with the effective float32 weights.

    Logits, margins and the Lipschitz bound of those weights are computed in ``config.certify_dtype`` and float64;
    attacks search in float32, and an attack counts as a success only if the certified network is fooled.

    Raises:
        CertificateViolation: an attack succeeded inside a certified radius.
    """
    deployed = to_plain(model.eval()).requires_grad_(False)
    exact = to_plain(deployed).to(getattr(torch, config.certify_dtype)).requires_grad_(False)
    images, labels = split.pixels(), split.labels
    pixels = images.to(getattr(torch, config.certify_dtype))
    logits = model_logits(exact, pixels, _BATCH)
    bound = lipschitz_bound(exact, images.shape[1:])
    radii = certified_radii(logits, labels, bound)
    attacker = _Attacker(deployed, exact, images, labels, radii, config, progress)
    attacked = attacker.run()
    return Certification(
        lipschitz=bound,
        lower=jacobian_lower_bound(exact, pixels[:_JACOBIAN_EXAMPLES]),
        predictions=logits.argmax(1).cpu(),
        margins=margins(logits, labels).double().cpu(),
        radii=radii.cpu(),
        labels=labels.cpu(),
        indices=split.indices,
        attacked=attacked,
        images=images[: len(attacker.shown)].cpu(),
        adversarial=attacker.shown.cpu(),
    )


class _Attacker:
    """Runs every attack at every radius, from the smallest: an example broken at one radius is broken at all larger."""

    def __init__(
        self, deployed: nn.Module, exact: nn.Module, images: Tensor, labels: Tensor, radii: Tensor, config: Config,
        progress: bool | None,
    ) -> None:  # fmt: skip
        count = config.attack.examples or len(images)
        self.deployed, self.exact, self.config = deployed, exact, config
        self.images, self.labels, self.radii = images[:count], labels[:count], radii[:count]
        self.shown = self.images[:16]
        self.dtype = getattr(torch, config.certify_dtype)
        self.disable = {"auto": None, "on": False, "off": True}[config.progress] if progress is None else not progress
        random = generator(config.seed, 2)
        self.attacks: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
            "fgsm": lambda images, labels, radius: fgsm(deployed, images, labels, radius),
            "pgd": lambda images, labels, radius: pgd(
                deployed, images, labels, radius, config.attack.steps, config.attack.restarts, random
            ),
        }

    def run(self) -> dict[str, dict[str, float]]:
        clean = torch.cat([self._survives(batch, batch, labels, 0.0) for batch, labels in self._batches(self.images, self.labels)])
        written = sorted(self.config.eval_radii, key=radius_value)
        total = len(self.attacks) * len(written) * len(self.labels)
        results: dict[str, dict[str, float]] = {}
        with tqdm(total=total, unit="example", desc="attacking", disable=self.disable, leave=False) as bar:
            for name, attack in self.attacks.items():
                robust = clean.clone()
                results[name] = {}
                for radius in written:
                    robust = self._attack(name, attack, robust, radius, bar)
                    results[name][radius] = _fraction(robust)
        return results

    def _attack(self, name: str, attack: Callable, robust: Tensor, written: str, bar: tqdm) -> Tensor:
        radius = radius_value(written)
        robust = robust.clone()
        for rows in robust.nonzero()[:, 0].split(_BATCH):
            images, labels = self.images[rows], self.labels[rows]
            found = attack(images, labels, radius)
            robust[rows] = self._survives(found, images, labels, radius)
            shown = rows < len(self.shown)
            if name == "pgd" and bool(shown.any()):
                self.shown = self.shown.clone()
                self.shown[rows[shown]] = found[shown]
            bar.update(len(rows))
        broken = ~robust & (self.radii > radius)
        if bool(broken.any()):
            raise CertificateViolation(
                f"{name} fooled the network inside the certified radius of {int(broken.sum())} test examples at radius "
                f"{written} (first: example {int(broken.nonzero()[0, 0])}). This is an error in lipnet; please report it "
                "with the run directory."
            )
        return robust

    def _survives(self, found: Tensor, images: Tensor, labels: Tensor, radius: float) -> Tensor:
        """Whether the certified network still predicts the label; images outside the ball or [0, 1] fool nobody."""
        distance = torch.linalg.vector_norm((found.double() - images.double()).flatten(1), dim=1)
        valid = (distance <= radius) & (found.flatten(1).amin(1) >= 0) & (found.flatten(1).amax(1) <= 1)
        with torch.no_grad():
            fooled = margins(self.exact(found.to(self.dtype)), labels) <= 0
        return ~(fooled & valid)

    @staticmethod
    def _batches(images: Tensor, labels: Tensor):  # noqa: ANN205
        return zip(images.split(_BATCH), labels.split(_BATCH), strict=True)


def _fraction(mask: Tensor) -> float:
    return float(mask.double().mean())
