"""The final evaluation of a classifier: clean, certified and attacked accuracy on the test split."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipnet.certify import (
    certified_radii,
    jacobian_lower_bound,
    lipschitz_bound,
    margins,
    pairwise_certified_radii,
    pairwise_lipschitz_bounds,
)
from lipnet.certify.radius import model_logits
from lipnet.data.images import Split
from lipnet.models import to_plain
from lipnet.schema import Config
from lipnet.tasks.attacking import Attacked, Attacker
from lipnet.training import distributed

_BATCH = 500
_JACOBIAN_EXAMPLES = 128


@dataclass
class Certification:
    """What the evaluation found.

    Attributes:
        lipschitz: upper bound of the evaluated network.
        lower: the largest Jacobian norm at test examples.
        predictions, margins, radii, radii_per_pair: of every test example, in the split's order.
        attacked: attack -> what it found.
        images: a few examples; ``adversarial`` is what the attack ``shown`` makes of them at the largest radius: the
            last in ``attack.names`` that searches in a ball.
    """

    lipschitz: float
    lower: float
    predictions: Tensor
    margins: Tensor
    radii: Tensor
    radii_per_pair: Tensor
    labels: Tensor
    indices: Tensor
    attacked: dict[str, Attacked]
    images: Tensor
    adversarial: Tensor
    shown: str | None

    @property
    def clean_accuracy(self) -> float:
        return _fraction(self.margins > 0)

    def certified_accuracy(self, radius: float) -> float:
        """The fraction of examples whose certified radius is larger than ``radius``."""
        return _fraction(self.radii > radius)

    def certified_accuracy_per_pair(self, radius: float) -> float:
        """The same from the bounds for pairs of classes; never lower."""
        return _fraction(self.radii_per_pair > radius)

    def rows(self) -> list[dict[str, float | int]]:
        """One row an example, for ``certificates.csv``; ``index`` counts in the data set's own test split."""
        columns = (self.indices, self.labels, self.predictions, self.margins, self.radii, self.radii_per_pair)
        names = ("index", "label", "prediction", "margin", "certified_radius", "certified_radius_per_pair")
        return [
            dict(zip(names, row, strict=True)) for row in zip(*(column.tolist() for column in columns), strict=True)
        ]


def certify_and_attack(model: nn.Module, split: Split, config: Config) -> Certification:
    """Evaluates the network that would be deployed: plain layers with the effective float32 weights.

    Logits and margins are computed in ``config.certify_dtype``, the Lipschitz bounds of those weights in float64.
    Attacks search in float32, and one counts as a success only if the certified network is fooled.

    Raises:
        CertificateViolation: an attack succeeded inside a certified radius.
    """
    dtype = getattr(torch, config.certify_dtype)
    deployed = to_plain(model.eval()).requires_grad_(False)
    exact = to_plain(deployed).to(dtype)
    images, labels = split.pixels(), split.labels
    logits = distributed.in_parts(lambda part: model_logits(exact, part, _BATCH), images.to(dtype))
    bound = lipschitz_bound(exact, images.shape[1:])
    radii, margin = certified_radii(logits, labels, bound), margins(logits, labels).double()
    pairs = pairwise_certified_radii(logits, labels, pairwise_lipschitz_bounds(exact, images.shape[1:]))
    count = config.attack.examples or len(images)
    attacker = Attacker(deployed, exact, images[:count], labels[:count], torch.maximum(radii, pairs)[:count], config)
    attacked = attacker.run(margin[:count] > 0)
    few = images[:_JACOBIAN_EXAMPLES].to(dtype)
    (lower,) = distributed.largest(jacobian_lower_bound(exact, few[distributed.own_rows(len(few))]))
    return Certification(
        lipschitz=bound,
        lower=lower,
        predictions=logits.argmax(1).cpu(),
        margins=margin.cpu(),
        radii=radii.cpu(),
        radii_per_pair=pairs.cpu(),
        labels=labels.cpu(),
        indices=split.indices,
        attacked=attacked,
        images=images[: len(attacker.adversarial)].cpu(),
        adversarial=attacker.adversarial.cpu(),
        shown=attacker.shown,
    )


def _fraction(mask: Tensor) -> float:
    return float(mask.double().mean())
