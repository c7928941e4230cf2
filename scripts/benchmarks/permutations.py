#!/usr/bin/env python
"""Hidden permutations, found by gradient descent on doubly stochastic matrices.

    python scripts/benchmarks/permutations.py                             # 100 problems of each size, minutes

Each problem hides a permutation Q in ``B = Qᵀ A Q`` plus noise, of a random symmetric A of norm about 2.
``|A M - M B|²`` is descended over M, with the penalty of ``lipnet.layers.permutations`` at a weight that grows from 0.
Columns give the shares of the problems in which the largest entries of M's rows are a permutation, in which that of the
Hungarian algorithm is one, and in which it is Q.
"""

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from lipnet.layers.permutations import nearest_permutation, permutation_penalty, scaled

SIZES = (5, 10, 20)
WEIGHTS = (0.0, 1.0, 3.0)
RAMP = 0.8
NOISE = 0.5  # of the size of A; without any, the problem is convex and its only solution is Q


def match(size: int, weight: float, problems: int = 100, steps: int = 2000, seed: int = 0) -> dict[str, float]:
    """One row of the table: projected gradient descent with momentum on all problems at once."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(2, problems, size, size, generator=generator) / (2 * size) ** 0.5
    first, noise = draws + draws.mT
    hidden = torch.stack([torch.randperm(size, generator=generator) for _ in range(problems)])
    permutations = torch.eye(size)[hidden]
    second = permutations.mT @ first @ permutations + NOISE * noise
    project, penalties = torch.vmap(scaled), torch.vmap(permutation_penalty)
    matrix = project(1 + 0.1 * torch.rand(first.shape, generator=generator)).clone().requires_grad_()
    optimizer = torch.optim.SGD([matrix], lr=5e-3, momentum=0.9)
    for step in range(steps):
        share = min(1.0, step / (RAMP * steps))
        loss = (first @ matrix - matrix @ second).square().sum() + weight * share * penalties(matrix).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            matrix.copy_(project(matrix))
    return _measured(matrix.detach(), hidden, float(penalties(matrix.detach()).mean()))


def _measured(matrix: Tensor, hidden: Tensor, penalty: float) -> dict[str, float]:
    largest = matrix.argmax(2)
    found = torch.stack([nearest_permutation(one) for one in matrix])
    return {
        "valid": _share(largest, torch.arange(matrix.shape[1])),
        "repaired": _share(found, torch.arange(matrix.shape[1])),
        "exact": float((found == hidden).all(1).double().mean()),
        "penalty": penalty,
    }


def _share(orders: Tensor, each: Tensor) -> float:
    return float((orders.sort(1).values == each).all(1).double().mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=100, help="of each size")
    parser.add_argument("--steps", type=int, default=2000)
    given = parser.parse_args(arguments)
    print("| size | weight | valid | with the Hungarian algorithm | the hidden one | penalty left |")
    print("|---|---|---|---|---|---|")
    for size in SIZES:
        for weight in WEIGHTS:
            row = match(size, weight, given.problems, given.steps)
            shares = " | ".join(f"{row[name]:.0%}" for name in ("valid", "repaired", "exact"))
            print(f"| {size} | {weight:g} | {shares} | {row['penalty']:.3f} |", flush=True)


if __name__ == "__main__":
    main()
