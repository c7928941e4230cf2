"""How often the 95 % intervals of task=wasserstein hold what they are of, over redraws of the samples.

python scripts/stress/interval_coverage.py                     # means and differences of known distributions
python scripts/stress/interval_coverage.py --runs RUN...       # critics of finished runs of task=wasserstein

Each cell of the first table: per cent of intervals that hold the mean; in brackets that of Student's intervals, and how
many times as wide the interval is on average. The standard error of a share of 95 % is 0.5 over 2,000 redraws.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import to_plain
from lipnet.data.pairs import load_pair
from lipnet.errors import UserError
from lipnet.options.pairs import Pair
from lipnet.randomness import stream
from lipnet.runs.load import load_run
from lipnet.tasks.wasserstein.evaluation import critic_values, measure_gap
from lipnet.tasks.wasserstein.interval import Interval, mean_interval

_CONFIDENCE = 0.95
_TRUTH_SAMPLES, _CHUNK = 2_000_000, 100_000
Draw = Callable[[int, torch.Generator], Tensor]


def _normal(count: int, random: torch.Generator) -> Tensor:
    return torch.randn(count, generator=random, dtype=torch.float64)


def _uniform(count: int, random: torch.Generator) -> Tensor:
    return torch.rand(count, generator=random, dtype=torch.float64)


def _exponential(count: int, random: torch.Generator) -> Tensor:
    return -torch.log1p(-_uniform(count, random))


def _lognormal(count: int, random: torch.Generator) -> Tensor:
    return _normal(count, random).exp()


def _rare(rate: float) -> Draw:
    return lambda count, random: (_uniform(count, random) < rate).double()


def _student(count: int, random: torch.Generator) -> Tensor:
    """Of 3 degrees of freedom: no third moment."""
    chi2 = torch.randn(count, 3, generator=random, dtype=torch.float64).square().sum(1)
    return _normal(count, random) / (chi2 / 3).sqrt()


def _norm(dimension: int) -> Draw:
    return lambda count, random: torch.randn(count, dimension, generator=random, dtype=torch.float64).norm(dim=1)


def _norm_mean(dimension: int) -> float:
    return math.sqrt(2) * math.gamma((dimension + 1) / 2) / math.gamma(dimension / 2)


def _zero(count: int, random: torch.Generator) -> Tensor:
    return torch.zeros(count, dtype=torch.float64)


# name: the first distribution, the second or None, their means' difference
DISTRIBUTIONS: dict[str, tuple[Draw, Draw | None, float]] = {
    "normal": (_normal, None, 0.0),
    "uniform": (_uniform, None, 0.5),
    "two points": (_rare(0.5), None, 0.5),
    "norm of a normal vector, 1 dimension": (_norm(1), None, _norm_mean(1)),
    "norm of a normal vector, 8 dimensions": (_norm(8), None, _norm_mean(8)),
    "exponential": (_exponential, None, 1.0),
    "chi-squared, 1 degree": (lambda count, random: _normal(count, random) ** 2, None, 1.0),
    "lognormal": (_lognormal, None, math.exp(0.5)),
    "Student, 3 degrees": (_student, None, 0.0),
    "1 in 10": (_rare(0.1), None, 0.1),
    "1 in 20": (_rare(0.05), None, 0.05),
    "1 in 50": (_rare(0.02), None, 0.02),
    "normal - normal": (_normal, _normal, 0.0),
    "exponential - exponential": (_exponential, _exponential, 0.0),
    "exponential - minus exponential": (_exponential, lambda count, random: -_exponential(count, random), 2.0),
    "lognormal - normal": (_lognormal, _normal, math.exp(0.5)),
    "chi-squared - a point": (lambda count, random: _normal(count, random) ** 2, _zero, 1.0),
}


def _student_interval(first: Tensor, second: Tensor | None) -> Interval:
    """Student's (Welch's), as scipy computes it."""
    parts = [part for part in (first, second) if part is not None]
    estimate = float(parts[0].mean()) - sum(float(part.mean()) for part in parts[1:])
    from scipy import stats

    if all(float(part.std()) == 0 for part in parts):
        return Interval(estimate, estimate, estimate)
    found = stats.ttest_1samp(first, 0.0) if second is None else stats.ttest_ind(first, second, equal_var=False)
    low, high = found.confidence_interval(_CONFIDENCE)
    return Interval(estimate, float(low), float(high))


def _coverage(name: str, count: int, redraws: int, seed: int) -> str:
    first, second, mean = DISTRIBUTIONS[name]
    random = stream(seed, "coverage", name, count)
    held, plain, width, plain_width = 0, 0, 0.0, 0.0
    for _ in range(redraws):
        values, others = first(count, random), None if second is None else second(count, random)
        ours, student = mean_interval(values, _CONFIDENCE, others), _student_interval(values, others)
        held += ours.low <= mean <= ours.high
        plain += student.low <= mean <= student.high
        width += ours.high - ours.low
        plain_width += student.high - student.low
    return f"{100 * held / redraws:.1f} ({100 * plain / redraws:.1f}, {width / plain_width:.3f})"


def _print_distributions(counts: list[int], redraws: int, seed: int) -> None:
    print(f"| distribution | {' | '.join(f'n = {count:,}' for count in counts)} |")
    print(f"|---|{'---:|' * len(counts)}")
    for name in DISTRIBUTIONS:
        cells = [_coverage(name, count, redraws, seed) for count in counts]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _print_run(directory: Path, counts: list[int], redraws: int) -> None:
    """What a run's critic can prove, from very many samples; and how many redraws' intervals hold it."""
    run = load_run(directory)
    if not isinstance(run.config.dataset, Pair):
        raise UserError(f"{directory}: not a run of task=wasserstein.")
    pair = load_pair(run.config.dataset)
    critic = to_plain(run.model).double().requires_grad_(False)

    def values(count: int, seed: int) -> list[Tensor]:
        return [critic_values(critic, part) for part in pair.samples("evaluation", count, seed)]

    bound = lipschitz_bound(critic, pair.samples("evaluation", 1, 0)[0].shape[1:])
    chunks = [
        measure_gap(*values(_CHUNK, 1_000_000 + number), bound, pair.paired, _CONFIDENCE).estimate
        for number in range(_TRUTH_SAMPLES // _CHUNK)
    ]
    truth = math.fsum(chunks) / len(chunks)
    cells = []
    for count in counts:
        found = [measure_gap(*values(count, seed), bound, pair.paired, _CONFIDENCE) for seed in range(redraws)]
        cells.append(f"{sum(gap.low <= truth <= gap.high for gap in found)} of {redraws:,}")
    print(f"| `{run.config.dataset.name}` | {truth:.5f} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", type=Path, metavar="RUN", help="run directories of task=wasserstein")
    parser.add_argument("--counts", nargs="+", type=int, default=[20, 50, 200, 1000, 5000], help="samples")
    parser.add_argument("--redraws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.runs is None:
        _print_distributions(arguments.counts, arguments.redraws, arguments.seed)
        return
    print(f"| pair | what the critic can prove | {' | '.join(f'n = {count:,}' for count in arguments.counts)} |")
    print(f"|---|---:|{'---:|' * len(arguments.counts)}")
    for directory in arguments.runs:
        try:
            _print_run(directory, arguments.counts, arguments.redraws)
        except UserError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
