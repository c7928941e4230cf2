"""What an attacker learns of who was trained on, against what private training claims; ends with 1 where that is more.

python scripts/stress/audit_privacy.py                      # 20 runs on the digits: epsilon 1, 3 and 8
python scripts/stress/audit_privacy.py --runs 2 --epsilons 1 --rates 1 --noise-factor 0.02   # far too little: caught

Canaries, test images with labels at random, join the training set with probability 1/2 each. Two attackers guess who
did: one sees every noisy gradient and looks for the canaries' own in it (the guarantee is against all that), the other
only the network at the end, and asks whose loss has fallen. Of the canaries with the highest and the lowest third of
scores the right guesses are counted. Under (epsilon, delta) they are hardly more than a coin of probability
``e^epsilon / (1 + e^epsilon)`` would give, which makes a lower bound on epsilon at 95 % confidence in all runs together
(Steinke, Nasr & Jagielski 2023, arXiv 2305.08846, theorem 5.2): one run, no shadow models.
"""

import argparse
import math
import sys
from types import SimpleNamespace
from typing import NamedTuple

import torch
from scipy.stats import binom
from torch import Tensor, nn
from torch.nn import functional

from lipnet.data.images import Split, load_files
from lipnet.layers import BCOPConv2d, MaxMin, OrthogonalLinear
from lipnet.per_example import recording
from lipnet.randomness import Secret, stream
from lipnet.tasks.private.accountant import Accountant
from lipnet.training.private import Clipped, PrivateUpdate

_CONFIDENCE, _DELTA = 0.95, 1e-8
_CLIP, _STEPS = 0.3, 30


class Audit(NamedTuple):
    """Right guesses of two attackers, of so many."""

    of_gradients: int
    of_losses: int
    guesses: int


def main() -> None:
    """Audits one run after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epsilons", type=float, nargs="+", default=[1.0, 3.0, 8.0], help="claims, in turn")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--canaries", type=int, default=180)
    parser.add_argument("--examples", type=int, default=600, help="training examples beside them")
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 0.3], help="of sampling, in turn")
    parser.add_argument("--noise-factor", type=float, default=1.0, help="times the noise that the claim needs")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    exceeded = 0
    for run in range(given.runs):
        claim = given.epsilons[run % len(given.epsilons)]
        found = audit(
            claim,
            given.canaries,
            given.examples,
            given.rates[run % len(given.rates)],
            given.noise_factor,
            given.seed + run,
        )
        bounds = [lower_bound(right, found.guesses, given.canaries, given.runs) for right in found[:2]]
        exceeded += max(bounds) > claim
        print(
            f"claimed {claim:g}: by gradients {found.of_gradients} of {found.guesses} right, epsilon >= "
            f"{bounds[0]:.3f}; by losses {found.of_losses}, >= {bounds[1]:.3f}",
            flush=True,
        )
    print(f"{exceeded} of {given.runs} runs show more than they claim")
    sys.exit(exceeded > 0)


def lower_bound(right: int, guesses: int, canaries: int, runs: int = 1) -> float:
    """The epsilon below which so many right guesses are too unlikely, at the confidence of all runs and attackers."""
    allowed = (1 - _CONFIDENCE) / (2 * runs) - 2 * canaries * _DELTA  # what delta adds is at most that
    low, high = 0.0, 50.0
    if allowed <= 0 or binom.sf(right - 1, guesses, 0.5) > allowed:
        return 0.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        unlikely = binom.sf(right - 1, guesses, 1 / (1 + math.exp(-middle))) <= allowed
        low, high = (middle, high) if unlikely else (low, middle)
    return low


def audit(claim: float, canaries: int, examples: int, rate: float, noise_factor: float, seed: int) -> Audit:
    """Trains once, and guesses who of the canaries was there."""
    train, test = load_files(SimpleNamespace(name="digits"))
    random = stream(seed, "audited canaries")
    images = test.take(torch.randperm(len(test), generator=random)[:canaries])
    labels = torch.randint(10, (canaries,), generator=random)
    joined = torch.rand(canaries, generator=random) < 0.5
    base = train.take(torch.randperm(len(train), generator=random)[:examples])
    members = Split(images.images[joined], labels[joined], images.maximum, images.indices[joined])
    noise = noise_factor * Accountant("pld", rate, _DELTA).noise_for(claim, _STEPS)
    scores, losses = _train(base, members, images.pixels(), labels, noise, rate, seed)
    return Audit(_right(scores, joined), _right(losses, joined), 2 * (canaries // 3))


def _train(
    base: Split, joined: Split, canaries: Tensor, labels: Tensor, noise: float, rate: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Of each canary: how much of its gradient is in what is published; how much its loss has fallen.

    From what is published the attacker takes what was to be expected of the others: of the training set, which the
    guarantee lets him know, and of canaries half the time.
    """
    torch.manual_seed(seed)
    model, secret = _network(), Secret()
    size = rate * (len(base) + len(labels))
    contributions = Clipped(model, _CLIP, size)
    update = PrivateUpdate(model, torch.optim.Adam(model.parameters(), lr=0.01), contributions, noise, size, secret)
    published: list[dict[str, Tensor]] = []
    noisy = update._noisy
    update._noisy = lambda *bounded: published.append(noisy(*bounded)) or published[-1]  # type: ignore[method-assign]
    before = _losses(model, canaries, labels).detach()
    grams, products = torch.zeros(len(labels), len(labels)), torch.zeros(len(labels))
    both = Split(
        torch.cat([base.images, joined.images]), torch.cat([base.labels, joined.labels]), base.maximum,
        torch.cat([base.indices, joined.indices]),
    )  # fmt: skip
    for step in range(_STEPS):
        drawn = torch.rand(len(both), generator=stream(secret.number, "audited batches", step)) < rate
        images, targets = both.training_batch(drawn.nonzero().squeeze(1), torch.Generator())
        own = _clipped(model, canaries, labels)
        known = contributions(lambda: (_losses(model, base.pixels(), base.labels).sum() / size, torch.zeros(0)))
        update.step(lambda x=images, y=targets: (_losses(model, x, y).sum() / size, torch.zeros(0)))
        for name, gradient in published.pop().items():
            expected = rate * (known.gradients[name] + own[name].sum(0) / 2)
            flat = own[name].flatten(1)
            products += flat @ (size * gradient - expected).flatten()
            grams += flat @ flat.mT
    # Who joined counts +1/2, who did not -1/2: what fits best to all steps, by least squares with that prior.
    ridge = (2 * noise * _CLIP) ** 2 * torch.eye(len(labels))
    return torch.linalg.solve(rate * grams + ridge, products), before - _losses(model, canaries, labels).detach()


def _network() -> nn.Sequential:
    return nn.Sequential(
        BCOPConv2d(1, 8, 4, 2), MaxMin(), nn.Flatten(), OrthogonalLinear(128, 32), MaxMin(), OrthogonalLinear(32, 10)
    )


def _losses(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(model(images) / 0.25, labels, reduction="none")


def _clipped(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Every example's gradient, as it is added."""
    with recording(model) as tape:
        loss = _losses(model, images, labels).sum()
    tape.backward(loss)
    factors = (_CLIP / tape.norms()).clamp(max=1)
    return {name: torch.einsum("b,b...->b...", factors, gradient) for name, gradient in tape.gradients().items()}


def _right(scores: Tensor, joined: Tensor) -> int:
    """Of the highest third, said to have joined, and the lowest third, said not to have."""
    order, third = scores.argsort(descending=True), len(scores) // 3
    return int(joined[order[:third]].sum() + (~joined[order[-third:]]).sum())


if __name__ == "__main__":
    main()
