"""What ``results.json`` holds of a critic. Imports no torch."""

from typing import TypedDict

from lipnet.options.config import Config
from lipnet.tasks.numbers import Keys, Numbers, numbers_of
from lipnet.tasks.results import Start

# Of the gradient of the critic over its Lipschitz constant; the last two where the optimal potential has a gradient.
Gradient = TypedDict(
    "Gradient",
    {
        "share_of_norm_at_least_0.99": float,
        "mean_norm": float,
        "cosine": float | None,
        "squared_error": float | None,
    },
)

# Of the benchmark that some pairs are from: constants, and none of this run's own.
_METHODS = (
    "sort_out", "wgan_gp", "wgan_lp", "sn_gan", "3p_wgan_reversed", "wgan_qp", "cowgan", "discrete_ot_on_batches",
)  # fmt: skip
_PUBLISHED = ("true_value", *_METHODS, *(f"{method}_cosine" for method in _METHODS))


class Distance(TypedDict):
    """What is proved, estimated and known of the distance between the two distributions."""

    estimate: float
    ci_low: float
    ci_high: float
    confidence: float
    certified_lower_bound: float
    evaluation_samples: int
    samples_sha256: str
    exact_on_sample: float
    estimate_on_sample: float
    transport_samples: int
    true_value: float | None
    true_value_error: float | None
    estimate_over_true: float | None
    gradient: dict[str, Gradient]
    units: str
    published: dict[str, float] | None


class Results(Start):
    """``lipschitz_lower_bound`` is the largest gradient at samples."""

    status: str
    wasserstein: Distance
    lipschitz_upper_bound: float
    lipschitz_lower_bound: float
    eval_seconds: float
    peak_memory_bytes: int | None


def numbers(config: Config) -> Numbers:
    """The numbers of such a run; what is known of a distance depends on the pair."""
    tables: Keys = {"wasserstein.gradient": [("first", "second")], "wasserstein.published": [()]}
    found = numbers_of(Results, tables, ("eval_seconds", "peak_memory_bytes"), without=Start)
    published = [f"wasserstein.published.{name}" for name in _PUBLISHED] if config.dataset.name == "minfunnel" else []
    return Numbers(found.measures, [*found.beside, *published], ["estimate", "ci_low", "ci_high", "true_value"])
