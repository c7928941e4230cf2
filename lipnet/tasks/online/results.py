"""What ``results.json`` holds of an online prediction. Imports no torch."""

from typing import TypedDict

from lipnet.options.config import Config
from lipnet.options.models import Experts
from lipnet.options.option import of_kind
from lipnet.options.tasks import Online
from lipnet.tasks.numbers import Keys, Numbers, numbers_of
from lipnet.tasks.results import Header


class Sensitivity(TypedDict):
    """Of predictions to an error of this L2 norm in the observations that they are made from."""

    radius: float
    certified_mean: float
    certified_largest: float
    attacked_largest: float | None
    largest_share: float | None
    attacks: int
    violations: int


class Predicted(TypedDict):
    """Losses are means over the rounds, but for ``regret`` and its bound, which are of all rounds together."""

    average_loss: float
    last_half_loss: float
    optimal_loss: float | None
    optimal_prediction_loss: float | None
    optimal_prediction_last_half_loss: float | None
    best_expert: str
    best_expert_loss: float
    best_expert_last_half_loss: float
    regret: float
    regret_bound: float | None
    rounds: int
    gaps: int
    weights: dict[str, float]
    expert_losses: dict[str, float]
    lipschitz_bounds: dict[str, float]
    local_constants: dict[str, float]
    baselines: dict[str, float]
    baselines_last_half: dict[str, float]
    sensitivity: Sensitivity


class Results(Header):
    """There are no epochs, and no network to evaluate again."""

    status: str
    parameters: int
    train_seconds: float | None
    rounds_per_second: float
    online: Predicted
    peak_memory_bytes: int | None


_OF_EXPERTS = ("weights", "expert_losses", "lipschitz_bounds", "local_constants")
_OF_BASELINES = ("baselines", "baselines_last_half")


def numbers(config: Config) -> Numbers:
    """The numbers of such a run."""
    names = of_kind(config.model, Experts).names
    compared = of_kind(config.task, Online).baselines
    keys: Keys = {
        **{f"online.{table}": [names] for table in _OF_EXPERTS},
        **{f"online.{table}": [compared] for table in _OF_BASELINES},
    }
    beside = ("parameters", "train_seconds", "rounds_per_second", "peak_memory_bytes")
    found = numbers_of(Results, keys, beside, without=Header)
    own = [name for name in found.beside if name not in ("parameters", "train_seconds")]  # as of any run
    return Numbers(found.measures, own)
