"""The final evaluation of a classifier: clean, certified and attacked accuracy on the test split."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lipnet.attacks import fgsm, pgd
from lipnet.certify import certified_radii, jacobian_lower_bound, lipschitz_bound, margins
from lipnet.certify.radius import model_logits
from lipnet.checks import radius_value
from lipnet.data.images import Split, generator
from lipnet.models import to_plain
from lipnet.schema import Config

_BATCH = 500
_JACOBIAN_EXAMPLES = 128
_SHOWN = 16

Attack = Callable[[Tensor, Tensor, float], Tensor]  # (images, labels, radius) -> images


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
        return [
            dict(zip(names, row, strict=True)) for row in zip(*(column.tolist() for column in columns), strict=True)
        ]


def certify_and_attack(model: nn.Module, split: Split, config: Config) -> Certification:
    """Evaluates the network that would be deployed: plain layers with the effective float32 weights.

    Logits and margins are computed in ``config.certify_dtype``, the Lipschitz bound of those weights in float64.
    Attacks search in float32, and one counts as a success only if the certified network is fooled.

    Raises:
        CertificateViolation: an attack succeeded inside a certified radius.
    """
    dtype = getattr(torch, config.certify_dtype)
    deployed = to_plain(model.eval()).requires_grad_(False)
    exact = to_plain(deployed).to(dtype)
    images, labels = split.pixels(), split.labels
    logits = model_logits(exact, images.to(dtype), _BATCH)
    bound = lipschitz_bound(exact, images.shape[1:])
    radii, margin = certified_radii(logits, labels, bound), margins(logits, labels).double()
    count = config.attack.examples or len(images)
    attacker = _Attacker(deployed, exact, images[:count], labels[:count], radii[:count], config)
    attacked = attacker.run(margin[:count] > 0)
    return Certification(
        lipschitz=bound,
        lower=jacobian_lower_bound(exact, images[:_JACOBIAN_EXAMPLES].to(dtype)),
        predictions=logits.argmax(1).cpu(),
        margins=margin.cpu(),
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
        self, deployed: nn.Module, exact: nn.Module, images: Tensor, labels: Tensor, radii: Tensor, config: Config
    ) -> None:
        self.exact, self.images, self.labels, self.radii, self.config = exact, images, labels, radii, config
        self.shown = images[:_SHOWN].clone()
        random = generator(config.seed, 2)
        self.attacks: dict[str, Attack] = {
            "fgsm": lambda images, labels, radius: fgsm(deployed, images, labels, radius),
            "pgd": lambda images, labels, radius: pgd(
                deployed, images, labels, radius, config.attack.steps, config.attack.restarts, random
            ),
        }

    def run(self, correct: Tensor) -> dict[str, dict[str, float]]:
        """Accuracy by attack and radius, given which examples are classified correctly without one."""
        written = sorted(self.config.eval_radii, key=radius_value)
        total = len(self.attacks) * len(written) * int(correct.sum())
        results: dict[str, dict[str, float]] = {}
        with tqdm(total=total, unit="example", desc="attacking", disable=self.config.bars_hidden, leave=False) as bar:
            for name, attack in self.attacks.items():
                robust, results[name] = correct, {}
                for radius in written:
                    robust = self._attack(name, attack, robust, radius, bar)
                    results[name][radius] = _fraction(robust)
        return results

    def _attack(self, name: str, attack: Attack, robust: Tensor, written: str, bar: tqdm) -> Tensor:
        radius, robust = radius_value(written), robust.clone()
        for rows in robust.nonzero()[:, 0].split(_BATCH):
            images, labels = self.images[rows], self.labels[rows]
            found = attack(images, labels, radius)
            robust[rows] = ~self._fooled(found, images, labels, radius)
            shown = rows < len(self.shown)
            if name == "pgd":
                self.shown[rows[shown]] = found[shown]
            bar.update(len(rows))
        broken = ~robust & (self.radii > radius)
        if bool(broken.any()):
            raise CertificateViolation(
                f"{name} fooled the network inside the certified radius of {int(broken.sum())} test examples at radius "
                f"{written} (first: example {int(broken.nonzero()[0, 0])}). This is an error in lipnet; please report "
                "it with the run directory."
            )
        return robust

    def _fooled(self, found: Tensor, images: Tensor, labels: Tensor, radius: float) -> Tensor:
        """Whether the certified network errs on an image that lies in the ball and in [0, 1]."""
        distance = torch.linalg.vector_norm((found.double() - images.double()).flatten(1), dim=1)
        pixels = found.flatten(1)
        valid = (distance <= radius) & (pixels.amin(1) >= 0) & (pixels.amax(1) <= 1)
        with torch.no_grad():
            margin = margins(self.exact(found.to(next(self.exact.parameters()).dtype)), labels)
        return valid & (margin <= 0)


def _fraction(mask: Tensor) -> float:
    return float(mask.double().mean())
