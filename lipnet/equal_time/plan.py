"""Which runs a comparison at equal time consists of."""

import hashlib
import math
import re
import shlex
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipnet.equal_time.jobs import Job, Pace

_LONGEST = 60  # characters of a folder's name
_MANY = 10  # epochs, of which a part of one matters little


@dataclass(frozen=True)
class Plan:
    """What is compared, and how.

    Attributes:
        choices: what each competitor adds to ``common``, as typed: ``conv=bcop linear=orthogonal``.
        common: overrides of every run.
        budgets: seconds of training.
        trials: of learning rate and weight decay, for each competitor.
        trial_seconds: of training of a trial.
        rates, decays: the ranges that trials are spread over, evenly on a logarithmic scale.
        seeds: of the trainings at each budget: a list for each of ``budgets``.
    """

    choices: list[str]
    common: list[str]
    budgets: list[float]
    trials: int
    trial_seconds: float
    rates: tuple[float, float]
    decays: tuple[float, float]
    seeds: list[list[int]]
    directory: Path

    def overrides(self, choice: str) -> list[str]:
        return [*self.common, *shlex.split(choice)]

    def pace(self, choice: str) -> Pace:
        return Pace(self.directory / _folder(choice) / "pace", self.overrides(choice))

    def drawn(self, trial: int) -> tuple[float, float]:
        """Learning rate and weight decay of a trial, the same for every competitor.

        Points of a scrambled Sobol sequence, of which the first four already lie in a quarter each of both ranges:
        of so few independent draws half are often next to each other.
        """
        first, second = _sobol(trial)
        return _between(self.rates, first), _between(self.decays, second)

    def trial(self, choice: str, number: int, pace: dict[str, Any]) -> Job:
        """One of the trials; of the test split it sees one batch, which nobody looks at."""
        rate, decay = self.drawn(number)
        overrides = [
            *self.overrides(choice), *_tuned(rate, decay), *training(self.trial_seconds, pace), "seed=0",
            "attack.names=[]", "dataset.limit_test=64", "singular_values_every=0",
        ]  # fmt: skip
        return Job(self.directory / _folder(choice) / f"trial-{number}", overrides)

    def observed(self, choice: str, pace: dict[str, Any]) -> dict[str, Any]:
        """The pace of the trials, where there are any: some layers slow down as they learn."""
        results = [self.trial(choice, number, pace).results() for number in range(self.trials)]
        found = [trial["samples_per_second"] for trial in results if trial.get("samples_per_second")]
        if not found:
            return pace
        seconds = pace["examples"] / statistics.median(found)
        return {**pace, "seconds": seconds, "seconds_per_step": pace["seconds_per_step"] * seconds / pace["seconds"]}

    def run(self, choice: str, budget: float, seed: int, pace: dict[str, Any], tuned: tuple[float, float]) -> Job:
        """One training of a competitor at a budget."""
        overrides = [*self.overrides(choice), *_tuned(*tuned), *training(budget, pace), f"seed={seed}"]
        return Job(self.directory / _folder(choice) / f"{budget:g}s-seed-{seed}", overrides)


def training(seconds: float, pace: dict[str, Any]) -> list[str]:
    """The epochs that fit into so many seconds; of few, one more of as many examples as fit: 1.7 are 2 of 85 %."""
    epochs = seconds / pace["seconds"]
    if epochs >= _MANY:
        return [f"epochs={math.floor(epochs)}"]
    whole = math.ceil(epochs)
    examples = max(1, math.floor(pace["examples"] * epochs / whole))
    return [f"epochs={whole}", *[f"dataset.limit_train={examples}"] * (examples < pace["examples"])]


def score(results: dict[str, Any]) -> float:
    """What trials are chosen by: certified accuracy on the validation split, the mean over radii; -inf of a failure."""
    validation = results.get("validation") or {}
    found = validation.get("certified_accuracy") or {}
    return sum(found.values()) / len(found) if found else -math.inf


def best_trial(results: list[dict[str, Any]]) -> int | None:
    """The number of the trial with the highest score; ``None`` if all failed."""
    scores = [score(found) for found in results]
    best = max(scores, default=-math.inf)
    return scores.index(best) if math.isfinite(best) else None


def _tuned(rate: float, decay: float) -> list[str]:
    return [f"optimizer.lr={rate:.4g}", f"optimizer.weight_decay={decay:.4g}"]


def _between(ends: tuple[float, float], share: float) -> float:
    """The point of a logarithmic scale; of equal ends that one, which may be 0."""
    low, high = ends
    return low if low == high else low * (high / low) ** share


def _sobol(number: int) -> tuple[float, float]:
    import torch  # late, so that --help stays quick

    points = torch.quasirandom.SobolEngine(2, scramble=True, seed=0)
    first, second = points.fast_forward(number).draw(1, dtype=torch.float64)[0].tolist()
    return first, second


def _folder(choice: str) -> str:
    """A folder's name for a competitor: readable, and different for different ones."""
    name = re.sub(r"[^\w.=,-]+", "_", choice)
    if name == choice and len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(choice.encode()).hexdigest()[:6]}"
