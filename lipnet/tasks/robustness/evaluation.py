"""The final evaluation of a classifier: clean, certified and attacked accuracy on the test split."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipnet.certify import certify, jacobian_lower_bound
from lipnet.certify.plain import to_plain
from lipnet.certify.variation import bv2_bound
from lipnet.data.images import Pixels, Split
from lipnet.layers.activations.spline import FixedSpline
from lipnet.options.config import Config
from lipnet.tasks.robustness.attacking import Attacked, Attacker
from lipnet.tasks.robustness.measures import NORMS
from lipnet.tasks.stopwatch import Stopwatch
from lipnet.training import distributed

_JACOBIAN_EXAMPLES = 128


@dataclass
class Certification:
    """What the evaluation found.

    Attributes:
        lipschitz: upper bound of the evaluated network.
        lower: the largest Jacobian norm at test examples.
        bv2: norm -> the bound by variation in it, of a network with splines.
        predictions, margins, radii, radii_per_pair: of every test example, in the split's order.
        attacked: attack -> what it found.
        attacked_worst: radius as written -> accuracy after all attacks together.
        images: a few examples; ``adversarial`` is what the attack ``shown`` makes of them at the largest radius: the
            last in ``attack.names`` that searches in a ball.
        deployments: arithmetic -> the radii that hold for the network evaluated in it.
        without_allowance: what the radii would be if no arithmetic rounded.
    """

    lipschitz: float
    lower: float
    bv2: dict[str, float]
    predictions: Tensor
    margins: Tensor
    radii: Tensor
    radii_per_pair: Tensor
    labels: Tensor
    indices: Tensor
    attacked: dict[str, Attacked]
    attacked_worst: dict[str, float]
    images: Tensor
    adversarial: Tensor
    shown: str | None
    deployments: dict[str, Tensor]
    without_allowance: Tensor

    @property
    def clean_accuracy(self) -> float:
        return _fraction(self.margins > 0)

    def certified_accuracy(self, radius: float) -> float:
        """The fraction of examples whose certified radius is larger than ``radius``."""
        return _fraction(self.radii > radius)

    def certified_accuracy_per_pair(self, radius: float) -> float:
        """The same from the bounds for pairs of classes; never lower."""
        return _fraction(self.radii_per_pair > radius)

    def certified_accuracy_in(self, arithmetic: str, radius: float) -> float:
        """The same of the network as evaluated in an arithmetic, by the global bound."""
        return _fraction(self.deployments[arithmetic] > radius)

    def rounding_cost(self, arithmetic: str, radius: float) -> float:
        """The part of certified accuracy at ``radius`` that the allowance for an arithmetic's rounding takes."""
        return _fraction((self.without_allowance > radius) & ~(self.deployments[arithmetic] > radius))

    def rows(self) -> list[dict[str, float | int]]:
        """One row an example, for ``certificates.csv``; ``index`` counts in the data set's own test split."""
        columns = (self.indices, self.labels, self.predictions, self.margins, self.radii, self.radii_per_pair)
        names = ("index", "label", "prediction", "margin", "certified_radius", "certified_radius_per_pair")
        return [
            dict(zip(names, row, strict=True)) for row in zip(*(column.tolist() for column in columns), strict=True)
        ]


def certify_and_attack(
    model: nn.Module, split: Split, config: Config, stopwatch: Stopwatch | None = None
) -> Certification:
    """Evaluates the network that would be deployed: plain layers with the effective float32 weights.

    Logits and margins are computed in ``config.certify_dtype``, and radii hold for the network evaluated in it, with a
    proved allowance for its rounding. The Lipschitz bounds of those weights are computed in float64.

    Attacks search in float32, in networks without blocks, which are faster, and one counts as a success only if the
    certified network is fooled.

    Raises:
        CertificateViolation: an attack succeeded inside a certified radius.
    """
    watch = stopwatch or Stopwatch()
    dtype = getattr(torch, config.certify_dtype)
    exact = to_plain(model.eval()).requires_grad_(False).to(dtype)
    searched = to_plain(model, blocked=False).requires_grad_(False)
    images, labels = Pixels(split), split.labels
    with watch.part("bounds"):
        certificate = certify(exact, images, labels, share=watch.timed("logits", distributed.in_parts))
        bv2 = _bv2_bounds(searched, images.shape[1:])
    radii, pairs, margin = certificate.radii(dtype), certificate.radii_per_pair(dtype), certificate.margins
    count = config.attack.examples or len(images)
    attacker = Attacker(searched, exact, images, labels[:count], torch.maximum(radii, pairs)[:count], config, split.box)
    with watch.part("attacks"):
        attacked, worst = attacker.run(margin[:count] > 0)
    few = images[:_JACOBIAN_EXAMPLES].to(dtype)
    with watch.part("jacobian"):
        (lower,) = distributed.largest(jacobian_lower_bound(exact, few[distributed.own_rows(len(few))]))
    return Certification(
        lipschitz=certificate.lipschitz,
        lower=lower,
        bv2=bv2,
        predictions=certificate.logits.argmax(1).cpu(),
        margins=margin.cpu(),
        radii=radii.cpu(),
        radii_per_pair=pairs.cpu(),
        labels=labels.cpu(),
        indices=split.indices,
        attacked=attacked,
        attacked_worst=worst,
        images=images[: len(attacker.adversarial)].cpu(),
        adversarial=attacker.adversarial.cpu(),
        shown=attacker.shown,
        deployments={_name(kind): certificate.radii(kind).cpu() for kind in certificate.rounding},
        without_allowance=certificate.radii_without_allowance().cpu(),
    )


def _bv2_bounds(plain: nn.Module, shape: tuple[int, ...]) -> dict[str, float]:
    """Empty of a network without splines, and where it has layers whose bound in other norms is not known."""
    if not any(isinstance(layer, FixedSpline) for layer in plain.modules()):
        return {}
    try:
        return {norm: bv2_bound(plain, shape, float(norm)) for norm in NORMS}
    except TypeError:
        return {}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _fraction(mask: Tensor) -> float:
    return float(mask.double().mean())
