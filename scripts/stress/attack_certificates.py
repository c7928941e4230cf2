#!/usr/bin/env python
"""Attacks inside certified balls, in float32 and float64: every error found there would be a wrong certificate.

    python scripts/stress/attack_certificates.py --examples 14000                     # linear networks: radii are exact
    python scripts/stress/attack_certificates.py --run outputs/... --examples 10000   # the test split of a finished run

Three searches, one after the other, from each certified example; each is checked in the arithmetic that the radius is
promised for, and only points that lie in the ball by exact comparison count:

    descent    projected gradient descent on the margin, in balls of the examples' own radii
    sphere     the best point moved out to the last floating-point number inside the ball
    rounding   that point with pixels moved by an ulp, at random and against the margin's gradient, evaluated in batches
               of other sizes too: sums are taken in another order

Linear networks of two opposite rows have their boundary at the certified radius, so that an ulp decides; every other
one has an orthogonal convolution before them, of each kind that there is. To show that
the searches can find what there is, they run on radii without the allowance for rounding too: those do fall.
Exit code 1 where a certified example fell.
"""

import argparse
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lipnet import load_run, to_plain
from lipnet.certify import Certificate, certify, margins
from lipnet.certify.bound import measured_once
from lipnet.data.images import load_splits
from lipnet.layers import AOCConv2d, BlockedLinear, BROConv2d, CayleyConv2d, LOTConv2d, SOCConv2d

_BATCH = 500
_CONVOLUTIONS: list[tuple[Callable[..., nn.Module], dict[str, object]]] = [
    (AOCConv2d, {}), (AOCConv2d, {"padding_mode": "zeros"}), (CayleyConv2d, {"image_size": 6}),
    (SOCConv2d, {}), (SOCConv2d, {"padding_mode": "zeros", "terms": 6}), (BROConv2d, {"image_size": 6}),
    (LOTConv2d, {"image_size": 6}),
]  # fmt: skip


class Search:
    """The lowest margin found in each ball; ``fallen`` marks the examples that are misclassified there."""

    def __init__(self, network: nn.Module, images: Tensor, labels: Tensor, radii: Tensor) -> None:
        self.network, self.labels, self.radii = network, labels, radii
        self.dtype = next(network.parameters()).dtype
        self.images = images.to(self.dtype)
        self.fallen = torch.zeros(len(images), dtype=torch.bool)
        self.best, self.lowest = self.images.clone(), torch.full((len(images),), torch.inf, dtype=torch.float64)
        self.tried = 0
        self.look(self.images)

    def look(self, points: Tensor, batch_size: int = _BATCH) -> None:
        """Evaluates points of the network's own type; those outside their balls do not count."""
        distance = (points.double() - self.images.double()).flatten(1).norm(dim=1)
        inside = distance * (1 + 1e-14) <= self.radii
        with torch.no_grad():
            parts = zip(points.split(batch_size), self.labels.split(batch_size), strict=True)
            margin = torch.cat([margins(self.network(batch), labels).double() for batch, labels in parts])
        self.tried += int(inside.sum())
        self.fallen |= inside & ~(margin > 0)
        better = inside & (margin < self.lowest)
        self.lowest[better], self.best[better] = margin[better], points[better]

    def gradient(self, points: Tensor) -> Tensor:
        """Of the margin, each example's of norm 1."""
        found = []
        for batch, labels in zip(points.split(_BATCH), self.labels.split(_BATCH), strict=True):
            inputs = batch.clone().requires_grad_()
            found.append(torch.autograd.grad(margins(self.network(inputs), labels).sum(), inputs)[0])
        return self._unit(torch.cat(found))

    def descend(self, steps: int) -> None:
        """Projected gradient descent, with steps from the radius down to a twentieth of it."""
        current = self.images
        for step in range(steps):
            length = self.radii * 0.05 ** (step / max(1, steps - 1))
            current = self._inside(current.double() - self._wide(length) * self.gradient(current).double())
            self.look(current)

    def reach_sphere(self) -> None:
        """Along the best direction and along the gradient, to the sphere and a few ulps about it."""
        for direction in (self.best.double() - self.images.double(), -self.gradient(self.images).double()):
            for part in (1.0, 1 - 1e-14, 1 - 1e-9, 1 - 1e-7):
                self.look((self.images.double() + self._wide(self.radii * part) * self._unit(direction)).to(self.dtype))

    def round(self, tries: int, generator: torch.Generator) -> None:
        """Ulps: as many pixels as a random part of them, up or down, at random or against the gradient."""
        gradient = self.gradient(self.best)
        for attempt in range(tries):
            start = self.best
            chosen = torch.rand(start.shape, generator=generator) < 0.5 ** (attempt % 4)
            signs = torch.where(torch.rand(start.shape, generator=generator) < 0.5, 1.0, -1.0).to(self.dtype)
            towards = -gradient.sign() if attempt % 2 else signs
            moved = torch.nextafter(start, start + towards)
            self.look(torch.where(chosen, moved, start), (_BATCH, 7, 64, 129)[attempt % 4])

    def _inside(self, points: Tensor) -> Tensor:
        change = points - self.images.double()
        allowed = self._wide(self.radii) * (1 - 1e-6)
        factor = (allowed / change.flatten(1).norm(dim=1).clamp_min(1e-300).view(allowed.shape)).clamp_max(1)
        return (self.images.double() + factor * change).to(self.dtype)

    def _wide(self, values: Tensor) -> Tensor:
        return values.view(-1, *[1] * (self.images.dim() - 1))

    def _unit(self, vectors: Tensor) -> Tensor:
        return vectors / self._wide(vectors.flatten(1).norm(dim=1).clamp_min(1e-300))


def attack(
    network: nn.Module, images: Tensor, labels: Tensor, radii: Tensor, steps: int, tries: int
) -> tuple[int, int, int]:
    """(certified examples, points tried inside their balls, examples that fell)."""
    certified = radii > 0
    search = Search(network, images[certified], labels[certified], radii[certified])
    if not len(search.images):
        return 0, 0, 0
    search.descend(steps)
    search.reach_sphere()
    search.round(tries, torch.Generator().manual_seed(0))
    return len(search.images), search.tried, int(search.fallen.sum())


def linear_examples(count: int, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
    """Two opposite rows, and points at distances of one to 1e6 float32 ulps from the boundary between them.

    Every other network takes its sums in blocks, of random length.
    """
    generator = torch.Generator().manual_seed(seed)
    width = int(torch.randint(2, 800, (), generator=generator))
    block = int(torch.randint(1, 100, (), generator=generator))
    network = BlockedLinear(width, 2, block=block) if seed % 2 else nn.Linear(width, 2)
    network.requires_grad_(False)
    row = torch.randn(width, generator=generator)
    network.weight.copy_(torch.stack((row, -row)) * 0.5 / row.norm())
    network.bias.zero_()
    points = torch.rand(count, width, generator=generator)
    exact, unit = network.weight[0].double(), network.weight[0].double() * 2
    points = points.double() - (points.double() @ unit)[:, None] * unit / unit.square().sum()
    distances = 10 ** (-7 + 6 * torch.rand(count, generator=generator, dtype=torch.float64))
    points = (points + distances[:, None] * unit).float()
    return network, points, (points.double() @ exact < 0).long()


def convolutional_examples(count: int, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
    """The same behind a square orthogonal convolution, which turns the boundary and leaves distances as they are."""
    torch.manual_seed(seed)
    make, options = _CONVOLUTIONS[seed % len(_CONVOLUTIONS)]
    stride, side = 1 + seed // len(_CONVOLUTIONS) % 2, 6
    layer = make(3, 3 * stride**2, 2 * stride + seed % 2 * stride, stride, **options)
    head = nn.Linear(layer.out_channels * (side // stride) ** 2, 2)
    network = nn.Sequential(layer, nn.Flatten(), head).requires_grad_(False).eval()
    row = torch.randn(head.in_features)
    head.weight.copy_(torch.stack((row, -row)) * 0.5 / row.norm())
    head.bias.zero_()
    exact = to_plain(network).double()
    zeros = torch.zeros(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    logits = exact(zeros)
    slope = torch.autograd.grad(logits[0, 0] - logits[0, 1], zeros)[0].flatten()
    unit = slope / slope.norm()
    points = torch.rand(count, slope.numel(), dtype=torch.float64)
    with torch.no_grad():
        margin = exact(points.view(count, 3, side, side)).diff(dim=1)[:, 0] / -slope.norm()
        distances = 10 ** (-7 + 6 * torch.rand(count, dtype=torch.float64))
        points = (points - (margin - distances)[:, None] * unit).float().view(count, 3, side, side)
        return network, points, exact(points.double()).argmax(1)


def report(
    title: str, certificate: Certificate, network: nn.Module, images: Tensor, options: argparse.Namespace
) -> int:
    """Attacks in both arithmetics; prints counts; returns how many certified examples fell."""
    fallen = 0
    for dtype in (torch.float32, torch.float64):
        kind, deployed = str(dtype).removeprefix("torch."), to_plain(network).to(dtype)
        for name, radii in (
            ("certified", certificate.radii(dtype)),
            ("no allowance", certificate.radii_without_allowance()),
        ):
            found = attack(deployed, images, certificate.labels, radii, options.steps, options.tries)
            print(
                f"{title}, {kind}, {name}: {found[0]} examples, {found[1]} points inside, {found[2]} fell", flush=True
            )
            fallen += found[2] if name == "certified" else 0
            if options.run:
                break  # radii of deep networks are no boundaries: there is nothing to fall without the allowance
    return fallen


def main() -> int:
    """Prints counts; 1 where a certified example fell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="a finished run on labelled images; without it, linear networks")
    parser.add_argument("--examples", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--steps", type=int, default=20, help="of gradient descent (20)")
    parser.add_argument("--tries", type=int, default=20, help="roundings (20)")
    options = parser.parse_args()
    started, fallen = time.perf_counter(), 0
    if options.run:
        run = load_run(options.run)
        test = load_splits(run.config.dataset, run.config.seed).test
        images, labels = test.pixels()[: options.examples], test.labels[: options.examples]
        network = to_plain(run.model).requires_grad_(False)
        exact = to_plain(network).double()
        with measured_once():
            for rows in torch.arange(len(images)).split(1000):
                certificate = certify(exact, images[rows], labels[rows])
                fallen += report(f"{options.run}, up to {rows[-1] + 1}", certificate, network, images[rows], options)
    else:
        for seed in range(-(-options.examples // 1000)):
            make = convolutional_examples if seed % 2 else linear_examples
            network, images, labels = make(min(1000, options.examples - 1000 * seed), seed // 2)
            certificate = certify(to_plain(network).double(), images, labels)
            fallen += report(
                f"{network[0] if isinstance(network, nn.Sequential) else network}",
                certificate,
                network,
                images,
                options,
            )
    print(f"{fallen} certified examples fell, {time.perf_counter() - started:.0f} s")
    return int(fallen > 0)


if __name__ == "__main__":
    sys.exit(main())
