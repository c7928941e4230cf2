#!/usr/bin/env python
"""Attacks on assured networks at the switch between float32 and float64: every other prediction there would be wrong.

    python scripts/stress/attack_assured.py                                         # linear networks: radii are exact
    python scripts/stress/attack_assured.py --run outputs/... --examples 2000       # between test images of a run
    python scripts/stress/attack_assured.py --run outputs/... --export outputs/...  # its export too

Points lie on segments between examples of different predictions: at the decision boundary of the float64 network, as
near as float32 holds; at powers of 10 from it; where float32 begins to settle the prediction; and a few ulps about all
of these. The reference is the sign that float64 proves; points where even float64 proves none do not count. Then each
point is a centre, and the attacks of attack_certificates.py search the ball that is certified for float64.

To show that the searches find what there is, the plain float32 network goes through the same, and so does an assured
one with constants 10,000 times too small. Exit code 1 where the assured network is wrong once.
"""

import argparse
import copy
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipnet import load_run, to_plain
from lipnet.certify import Assured, assured, certify, margins, rounding_bound
from lipnet.data.images import load_splits
from lipnet.export import rebuild
from lipnet.export.certificate import split_constants

sys.path.insert(0, str(Path(__file__).parent))
from attack_certificates import attack, linear_examples

Predict = Callable[[Tensor], Tensor]  # (n, ...) float32 -> (n,) classes
_BATCHES = (500, 7, 129)
_HALVINGS = 60


def in_batches(function: Callable[[Tensor], Tensor], points: Tensor, size: int = 500) -> Tensor:
    """The function's values, batch by batch, without gradients."""
    with torch.no_grad():
        return torch.cat([function(batch) for batch in points.split(size)])


def bisect(same: Callable[[Tensor], Tensor], inside: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 neighbours on segments: the last point where ``same`` (rows -> bool) holds, and the first where not."""
    inside, outside = inside.double(), outside.double()
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        kept = same(middle.float()).view(-1, *[1] * (middle.dim() - 1))
        inside, outside = torch.where(kept, middle, inside), torch.where(kept, outside, middle)
    return inside.float(), outside.float()


def points_at_the_switch(network: Assured, exact: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
    """Float32 points about the decision boundary and about the switch, from pairs of neighbouring images."""
    predictions = in_batches(lambda batch: exact(batch.double()).argmax(1), images)
    partners = images.roll(1, 0)
    pairs = predictions != predictions.roll(1, 0)
    images, partners, predictions = images[pairs], partners[pairs], predictions[pairs]

    def predicted(rows: Tensor) -> Tensor:
        return in_batches(lambda batch: exact(batch.double()).argmax(1), rows) == predictions

    near, beyond = bisect(predicted, images, partners)
    settled = bisect(lambda rows: ~in_batches(lambda batch: network.answer(batch)[1], rows), images, near)
    away = [near.double() + 10.0**-digit * (images.double() - near.double()) for digit in range(1, 8)]
    points = torch.cat([near, beyond, *settled, *(rows.float() for rows in away)])
    signs = torch.where(torch.rand(points.shape, generator=generator) < 0.5, -torch.inf, torch.inf)
    chosen = torch.rand(points.shape, generator=generator) < 0.5
    return torch.cat([points, torch.where(chosen, torch.nextafter(points, signs), points)])


def proved(exact: nn.Module, points: Tensor) -> tuple[Tensor, Tensor]:
    """(classes, whether float64 proves them): its margin is above what it can be off at."""
    logits = in_batches(lambda batch: exact(batch.double()), points)
    classes, bound = logits.argmax(1), rounding_bound(exact, points.shape[1:], torch.float64)
    return classes, margins(logits, classes) > 2 * bound.error.at(bound.norms(points))


def wrong(predict: Predict, points: Tensor, classes: Tensor) -> int:
    """How many points get another class, in batches of any size: sums are taken in another order."""
    found = torch.zeros(len(points), dtype=torch.bool)
    for size in _BATCHES:
        found |= in_batches(predict, points, size) != classes
    return int(found.sum())


def with_small_constants(network: Assured, factor: float = 1e-4) -> Assured:
    """An assured network that takes float32 for more exact than it is."""
    other = copy.deepcopy(network)
    other.slopes *= factor
    other.offset *= factor
    return other


def report(title: str, network: nn.Module, images: Tensor, options: Any, seed: int, files: dict[str, Predict]) -> int:
    """Prints counts; returns how often an assured network was wrong."""
    plain, exact = to_plain(network).float(), to_plain(network).double()
    deployed = assured(network, images.shape[1:])
    points = points_at_the_switch(deployed, exact, images, torch.Generator().manual_seed(seed))
    classes, sure = proved(exact, points)
    undecided = int((~sure).sum())
    points, classes = points[sure], classes[sure]
    again = in_batches(lambda batch: deployed.answer(batch)[1], points)
    print(f"{title}: {len(points)} points, {int(again.sum())} evaluated again; {undecided} more undecided in float64")
    predicts: dict[str, Predict] = {
        "plain float32": lambda batch: plain(batch).argmax(1),
        "constants / 10^4": lambda batch: with_small(batch).argmax(1),
        "assured": lambda batch: deployed(batch).argmax(1),
    }
    with_small, failures = with_small_constants(deployed), 0
    for name, predict in (predicts | files).items():
        count = wrong(predict, points, classes)
        failures += count if name not in ("plain float32", "constants / 10^4") else 0
        print(f"{title}, {name}: {count} wrong", flush=True)
    certificate = certify(exact, points, classes)
    for name, fast in (("plain float32", plain), ("assured", deployed)):
        tried = attack(fast, points, classes, certificate.radii(torch.float64), options.steps, options.tries)
        failures += tried[2] if name == "assured" else 0
        print(
            f"{title}, {name}, in float64's balls: {tried[0]} centres, {tried[1]} points, {tried[2]} fell", flush=True
        )
    return failures


def exported_weights(directory: str) -> nn.Module:
    """The network that an export's certificate speaks of."""
    layers = json.loads((Path(directory) / "certificate.json").read_text())["layers"]
    state = torch.load(Path(directory) / "weights.pt", weights_only=True)
    return rebuild(layers, split_constants(state)[0])


def exported(directory: str) -> dict[str, Predict]:
    """The predictions of an export's network.py and network.onnx."""
    import onnxruntime

    spec = importlib.util.spec_from_file_location("network", Path(directory) / "network.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.load()
    session = onnxruntime.InferenceSession(Path(directory) / "network.onnx", providers=["CPUExecutionProvider"])

    def onnx(batch: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["logits"], {"images": batch.numpy()})[0]).argmax(1)

    return {"network.py": lambda batch: network(batch).argmax(1), "network.onnx": onnx}


def main() -> int:
    """Prints counts; 1 where an assured network was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="a finished run on labelled images; without it, linear networks")
    parser.add_argument("--export", help="its export with task.assured=true: its files are attacked too")
    parser.add_argument("--examples", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--steps", type=int, default=3, help="of gradient descent (3)")
    parser.add_argument("--tries", type=int, default=8, help="roundings (8)")
    options = parser.parse_args()
    started, failures = time.perf_counter(), 0
    if options.run:
        run = load_run(options.run)
        images = load_splits(run.config.dataset, run.config.seed).test.pixels()[: options.examples]
        network: nn.Module = run.model
        files: dict[str, Predict] = {}
        if options.export:  # a run's effective weights, computed again, may differ by an ulp
            network, files = exported_weights(options.export), exported(options.export)
        for number, part in enumerate(images.split(500)):
            failures += report(f"{options.run}, part {number}", network, part, options, number, files)
    else:
        for seed in range(-(-options.examples // 200)):
            network, images, _ = linear_examples(200, seed)
            images[::2] *= -1  # onto the other side
            failures += report(f"linear, {images.shape[1]} inputs", network, images, options, seed, {})
    print(f"{failures} wrong, {time.perf_counter() - started:.0f} s")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
