#!/usr/bin/env python
"""The two theorems of Li et al. (NeurIPS 2019) on BCOP, as experiments.

    python scripts/benchmarks/theory.py                                   # 4 channels, 2x2 kernels, half a minute
    python scripts/benchmarks/theory.py --channels 2 --kernel-size 3 --figure out.png

Disconnectedness: orthogonal convolutions of n channels fall into components, which differ in how many channels the
kernel moves by a pixel. Gradient descent over projectors of half rank, n/2, finds a target of its own component, and
never gets near one of another. Doubling: every target is a block of a kernel of 2n channels with projectors of half
rank, n. It can be written down, and gradient descent finds it.

A row is one random target. Gradient descent (Adam, float64) starts from several random kernels; columns give the best
and the median squared distance between the target and what is found, over all entries. A target has squared norm n.
"""

import argparse
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lipnet.display.canvas import blank_figure
from lipnet.layers.convolutions.bcop import bcop_kernel
from lipnet.layers.orthogonal import cholesky

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class Parts:
    """An orthogonal matrix H ``(n, n)``, and symmetric projectors P1, Q1, P2, ... of any rank ``(2(k - 1), n, n)``."""

    matrix: Tensor
    projectors: Tensor

    def kernel(self) -> Tensor:
        """``(n, n, k, k)``. A projector is a basis of itself: ``P Pᵀ = P``."""
        return bcop_kernel(self.matrix, self.projectors)

    def doubled(self) -> "Parts":
        """2n channels, half rank, with this kernel as first block: ``H' = diag(H, I)``, ``P' = diag(P, I - P)``.

        If P has rank r, then P' has rank ``r + (n - r) = n``. Everything is block diagonal.
        """
        identity = torch.eye(len(self.matrix)).to(self.matrix)
        beside = [identity - projector for projector in self.projectors]
        pairs = zip(self.projectors, beside, strict=True)
        projectors = [torch.block_diag(*pair) for pair in pairs]
        return Parts(torch.block_diag(self.matrix, identity), torch.stack(projectors))


def random_parts(channels: int, ranks: list[int]) -> Parts:
    """Random parts in float64: ``det H = 1``, and a projector of each rank."""
    matrix, *squares = torch.randn(1 + len(ranks), channels, channels, dtype=torch.float64)
    bases = [cholesky(square)[:, :rank] for square, rank in zip(squares, ranks, strict=True)]
    return Parts(rotation(matrix), torch.stack([basis @ basis.mT for basis in bases]))


def rotation(matrix: Tensor) -> Tensor:
    """``exp(A - Aᵀ)``: orthogonal with determinant 1, so that no step, however long, jumps to the other sign."""
    return torch.linalg.matrix_exp(matrix - matrix.mT)


def degrees(kernel: Tensor) -> Tensor:
    """``(..., 2)``: how many channels a square orthogonal kernel ``(..., n, n, k, k)`` moves, down and to the right.

    It is the degree (winding number) of the determinant of the symbol W(z) in each of its two variables. As W is
    unitary on ``|z| = 1``, that is ``(1/2πi) ∮ tr(W* W') dz = Σ i |W_i|²``, the sum over the rows (columns) i of the
    kernel. A whole number that depends continuously on the kernel is the same all over a component. For BCOP it is
    ``Σ (n - rank P)``, and ``Σ (n - rank Q)``.
    """
    energy = kernel.square().sum((-4, -3))
    places = torch.arange(kernel.shape[-1]).to(kernel)
    return torch.stack((energy.sum(-1) @ places, energy.sum(-2) @ places), -1)


def least_distance(kernel: Tensor, other: Tensor) -> float:
    """A lower bound on ``|W - V|²`` from degrees alone: ``|d| / (k - 1)``, d the difference of degrees.

    For orthogonal ``(n, n, k, k)`` kernels, and one variable while the other is fixed: ``C = V* W`` is unitary, of
    degree d, with powers of z up to ``k - 1`` either way. So ``|d| <= Σ |i| |C_i|² <= (k - 1) (n - |C_0|²)``, and
    ``|W - V|² = 2n - 2 tr C_0 >= n - |C_0|²``, as ``2s <= 1 + s²`` for each singular value of C_0.
    """
    difference = (degrees(kernel) - degrees(other)).abs().max()
    return float(difference) / max(1, kernel.shape[-1] - 1)


def descend(target: Tensor, channels: int, starts: int, steps: int, rate: float = 0.03) -> tuple[Tensor, Tensor]:
    """Fits half-rank kernels of ``channels`` to the target ``(n, n, k, k)`` as the block of their first n channels.

    That block is all that must match: as the rows of the whole symbol have norm 1, an orthogonal block leaves nothing
    for the other inputs, and ``W'(x)_{1:n} = W(x_{1:n})``.

    Returns:
        Squared distances ``(steps + 1, starts)``, and the kernels found ``(starts, channels, channels, k, k)``.
    """
    count, size = len(target), target.shape[-1]
    matrix = torch.randn(starts, channels, channels, dtype=torch.float64, requires_grad=True)
    bases = torch.randn(starts, 2 * (size - 1), channels, channels // 2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam((matrix, bases), lr=rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    distances = []
    for step in range(steps + 1):
        kernel = bcop_kernel(rotation(matrix), cholesky(bases))
        distance = (kernel[:, :count, :count] - target).square().sum((1, 2, 3, 4))
        distances.append(distance.detach())
        if step < steps:
            optimizer.zero_grad()
            distance.sum().backward()
            optimizer.step()
            schedule.step()
    return torch.stack(distances), kernel.detach()


def main() -> None:
    """Prints a row for each target; draws the curves of the first two, where asked for."""
    arguments = _arguments()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)
    n, half = arguments.channels, arguments.channels // 2
    began = time.perf_counter()
    print(f"{n} and {2 * n} channels, {arguments.kernel_size}x{arguments.kernel_size} kernels", end=", ")
    print(f"{arguments.starts} starts, {arguments.steps} steps, seed {arguments.seed}\n")
    print(f"{'target':>18} | {f'{n} channels, rank {half}':^42} | {f'{2 * n} channels, rank {n}':^30}")
    print(f"{'ranks':>9}{'degrees':>9} | {'degrees':>8}{'at least':>10}{'best':>12}{'median':>12} |", end="")
    print(f"{'by hand':>10}{'best':>10}{'median':>10}")
    curves = []
    for first in dict.fromkeys(((half, half), (half - 1, half), (half - 1, half - 1), (0, 0))):
        parts = random_parts(n, [*first, *[half] * (2 * arguments.kernel_size - 4)])
        curves.append(_row(first, parts, arguments.starts, arguments.steps))
    print(f"\n{time.perf_counter() - began:.0f} s")
    if arguments.figure:
        _draw(n, *curves[:2]).savefig(arguments.figure, dpi=80)


def _row(first: tuple[int, int], parts: Parts, starts: int, steps: int) -> tuple[Tensor, Tensor]:
    """The distances at every step, with n channels and with 2n."""
    target = parts.kernel()
    n = len(target)
    single, kernels = descend(target, n, starts, steps)
    double, _ = descend(target, 2 * n, starts, steps)
    by_hand = (parts.doubled().kernel()[:n, :n] - target).square().sum()
    found = " or ".join(sorted({_whole(degrees(kernel)) for kernel in kernels}))
    print(f"{'{} {}'.format(*first):>9}{_whole(degrees(target)):>9} | {found:>8}", end="")
    print(f"{least_distance(kernels[0], target):10.2f}{single[-1].min():12.2e}{single[-1].median():12.2e} |", end="")
    print(f"{by_hand:10.0e}{double[-1].min():10.0e}{double[-1].median():10.0e}", flush=True)
    return single, double


def _whole(numbers: Tensor) -> str:
    return " ".join(f"{float(number):.0f}" for number in numbers)


def _draw(n: int, own: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> "Figure":
    figure = blank_figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    lines = {
        f"target of another component, {n} channels": (other[0], "tab:red"),
        f"the same target, {2 * n} channels": (other[1], "tab:blue"),
        f"target of the same component, {n} channels": (own[0], "tab:green"),
    }
    for label, (distances, color) in lines.items():
        for index, curve in enumerate(distances.cummin(0).values.T.tolist()):
            axes.plot(curve, color=color, alpha=0.6, linewidth=1, label=None if index else label)
    axes.set(xlabel="step", ylabel="lowest squared distance so far", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=4, help="n, even")
    parser.add_argument("--kernel-size", type=int, default=2, help="k, 2 or more")
    parser.add_argument("--starts", type=int, default=10, help="random starts of gradient descent")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", metavar="FILE", help="draw the distances of the first two targets here (PNG)")
    arguments = parser.parse_args()
    if arguments.channels < 2 or arguments.channels % 2 or arguments.kernel_size < 2:
        parser.error("--channels must be even and at least 2, --kernel-size at least 2")
    return arguments


if __name__ == "__main__":
    main()
