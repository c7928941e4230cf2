"""The final evaluation of a critic: what it proves about the Wasserstein-1 distance between two distributions."""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify import Rounding, lipschitz_bound, rounding_bound
from lipnet.certify.evaluation import plain_sums
from lipnet.certify.plain import to_plain
from lipnet.certify.radius import model_logits
from lipnet.data.pairs import Pair
from lipnet.data.transport import transport_cost
from lipnet.errors import CertificateViolation, UserError
from lipnet.options.config import Config
from lipnet.runs.record import without_missing
from lipnet.tasks.wasserstein.interval import Interval, bernstein_margin, mean_interval
from lipnet.tasks.wasserstein.results import Distance, Gradient
from lipnet.training import distributed

_RANGE_SAMPLES = 10_000
_GRADIENT_SAMPLES = 2_000
_EPS = torch.finfo(torch.float64).eps


@dataclass
class Estimation:
    """What the evaluation found.

    Attributes:
        lipschitz, lower: bounds on the critic's Lipschitz constant: proved; the largest gradient at samples.
        gap: the estimate with its interval, from the evaluation samples.
        certified: what the distance is at least, at ``config.estimate.confidence``, for any number of samples.
        sample_gap, sample_transport: the critic's gap on the first few samples, and their exact transport cost.
        gradients: statistics of the critic's gradient at evaluation samples of each distribution.
        first, second: the evaluation samples; ``values_first``, ``values_second``: ``f / L`` there.
    """

    lipschitz: float
    lower: float
    gap: Interval
    certified: float
    sample_gap: float
    sample_transport: float
    gradients: dict[str, Gradient]
    first: Tensor
    second: Tensor
    values_first: Tensor
    values_second: Tensor
    critic: nn.Module

    def rows(self) -> list[dict[str, float]]:
        """``f / L`` at each pair of evaluation samples: on the same samples, critics are compared by differences."""
        values = zip(self.values_first.tolist(), self.values_second.tolist(), strict=True)
        return [{"first": first, "second": second} for first, second in values]

    def content(self, pair: Pair, config: Config) -> Distance:
        """The ``wasserstein`` part of ``results.json``."""
        known: Distance = {
            "estimate": self.gap.estimate,
            "ci_low": self.gap.low,
            "ci_high": self.gap.high,
            "confidence": config.estimate.confidence,
            "certified_lower_bound": self.certified,
            "evaluation_samples": len(self.first),
            "samples_sha256": _digest(self.first, self.second),
            "exact_on_sample": self.sample_transport,
            "estimate_on_sample": self.sample_gap,
            "transport_samples": min(len(self.first), config.estimate.transport_samples),
            "true_value": pair.true_value,
            "true_value_error": pair.true_value_error,
            "estimate_over_true": self.gap.estimate / pair.true_value if pair.true_value else None,
            "gradient": self.gradients,
            "units": pair.units,
            "published": pair.published,
        }
        return without_missing(known)


def _digest(*samples: Tensor) -> str:
    """Equal for runs that were evaluated on the same samples; to ten digits, since devices round differently."""
    rounded = [part.double().mul(1e10).round().to(torch.int64).numpy().tobytes() for part in samples]
    return hashlib.sha256(b"".join(rounded)).hexdigest()


def measure_gap(first: Tensor, second: Tensor, lipschitz: float, paired: bool, confidence: float) -> Interval:
    """``(E f(first) - E f(second)) / L`` from a critic's values at samples of either distribution, ``(n,)`` each.

    The interval is of what this critic can prove, which the distance between the distributions is at least.
    """
    first, second = first.double() / lipschitz, second.double() / lipschitz
    return mean_interval(first - second, confidence) if paired else mean_interval(first, confidence, second)


def estimate_distance(model: nn.Module, pair: Pair, config: Config) -> Estimation:
    """Evaluates the critic that would be deployed, in float64: plain layers with the effective float32 weights.

    Raises:
        UserError: the critic has more than one output.
        CertificateViolation: the critic's gap exceeds the exact transport cost of the same samples.
    """
    exact = to_plain(model.eval()).double().requires_grad_(False)
    device = next(model.buffers(), next(model.parameters())).device
    first, second = (
        samples.to(device) for samples in pair.samples("evaluation", config.pair.evaluation_samples, config.seed)
    )
    lipschitz = lipschitz_bound(exact, first.shape[1:])
    rounding = rounding_bound(exact, first.shape[1:], torch.float64)
    with plain_sums():
        values = [critic_values(exact, samples) for samples in (first, second)]
    errors = [_error(rounding, *side) for side in zip((first, second), values, strict=True)]
    gap = measure_gap(values[0], values[1], lipschitz, pair.paired, config.estimate.confidence)
    range_values = torch.cat(
        [critic_values(exact, part.to(device)) for part in pair.samples("range", _RANGE_SAMPLES, config.seed)]
    )
    certified = _certify(values, errors, range_values, lipschitz, config.estimate.confidence)
    few = min(len(first), config.estimate.transport_samples)
    sample_gap = float(values[0][:few].mean() - values[1][:few].mean()) / lipschitz
    transport = transport_cost(first[:few], second[:few])
    _check_against(transport, sample_gap, sum(errors) / lipschitz, first[:few])
    gradients: dict[str, Gradient] = {}
    lower = 0.0
    for side, samples in (("first", first), ("second", second)):
        gradients[side], largest = _gradient_statistics(exact, samples[:_GRADIENT_SAMPLES], pair, lipschitz)
        lower = max(lower, largest)
    return Estimation(
        lipschitz, lower, gap, certified, sample_gap, transport, gradients, first.cpu(), second.cpu(),
        values[0].cpu() / lipschitz, values[1].cpu() / lipschitz, exact,
    )  # fmt: skip


def critic_values(critic: nn.Module, samples: Tensor) -> Tensor:
    """``f`` at samples ``(n, *shape)``: ``(n,)``.

    Raises:
        UserError: the critic has more than one output.
    """
    values = distributed.in_parts(lambda part: model_logits(critic, part), samples)
    if values.shape != (len(samples), 1):
        raise UserError(
            f"a critic needs one output for each sample, and this one maps {tuple(samples.shape)} to "
            f"{tuple(values.shape)}."
        )
    return values[:, 0]


def _error(rounding: Rounding, samples: Tensor, values: Tensor) -> float:
    """How far the critic's values at samples, and the mean of any of them, may be from those of exact arithmetic."""
    own = float(rounding.error.at(rounding.norms(samples)).max())
    return own + len(values) * _EPS * float(values.abs().max())


def _certify(
    values: list[Tensor], errors: list[float], range_values: Tensor, lipschitz: float, confidence: float
) -> float:
    """A lower bound on the distance that fails with probability ``1 - confidence`` at most; 0 where nothing is proved.

    The critic is clipped to its range on training samples, which keeps its Lipschitz constant; half of the
    probability of failure goes to either distribution.
    """
    low, high = float(range_values.min()), float(range_values.max())
    clipped = [part.clamp(low, high) for part in values]
    delta = (1 - confidence) / 2
    margins = [bernstein_margin(part, high - low, delta, error) for part, error in zip(clipped, errors, strict=True)]
    gap = float(clipped[0].mean() - clipped[1].mean()) - sum(margins)
    return max(0.0, gap / lipschitz * (1 - len(clipped[0]) * _EPS))


def _check_against(transport: float, sample_gap: float, error: float, points: Tensor) -> None:
    # A plan's rows and columns sum to 1 / n up to n ulps.
    slack = error + (points[0].numel() + len(points) ** 2) * _EPS * transport
    if not sample_gap <= transport + slack:
        raise CertificateViolation(
            f"the critic's gap over its proved Lipschitz constant, {sample_gap!r}, exceeds the exact transport cost of "
            f"the same {len(points)} samples, {transport!r}. This is an error in lipnet; please report it with the run "
            "directory."
        )


def _gradient_statistics(critic: nn.Module, samples: Tensor, pair: Pair, lipschitz: float) -> tuple[Gradient, float]:
    """Statistics of the gradient of ``f / L`` at samples, and the largest norm of that of ``f``.

    ``share_of_norm_at_least_0.99``; and where the optimal potential is known and has a gradient, the means of the
    cosine and of the squared distance between both gradients.
    """
    gradient = _gradient(lambda points: critic(points)[:, 0], samples) / lipschitz
    norms = gradient.norm(dim=1)
    found: Gradient = {
        "share_of_norm_at_least_0.99": float((norms >= 0.99).double().mean()),
        "mean_norm": float(norms.mean()),
        "cosine": None,
        "squared_error": None,
    }
    if pair.potential is not None:
        optimal = _gradient(pair.potential, samples.cpu()).to(gradient.device)
        defined = (optimal.norm(dim=1) - 1).abs() < 1e-6
        if bool(defined.any()):
            gradient, optimal, norms = gradient[defined], optimal[defined], norms[defined]
            cosine = (gradient * optimal).sum(1) / norms.clamp_min(1e-12)
            found["cosine"] = float(cosine.mean())
            found["squared_error"] = float((gradient - optimal).square().sum(1).mean())
    return without_missing(found), float(norms.max()) * lipschitz


def _gradient(function: Any, points: Tensor) -> Tensor:
    """``(n, d)`` gradients of a function of each point on its own."""
    rows = []
    for part in points.split(500):
        part = part.detach().requires_grad_()
        with torch.enable_grad():
            rows.append(torch.autograd.grad(function(part).sum(), part)[0].flatten(1))
    return torch.cat(rows)
