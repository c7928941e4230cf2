#!/usr/bin/env python
"""Times constrained networks against the same networks with plain layers, interleaved in one process.

    python scripts/benchmarks/benchmark.py                        # every suite
    python scripts/benchmarks/benchmark.py step eval --peers      # also orthogonium and deel-torchlip, where installed
    python scripts/benchmarks/benchmark.py kernel --json out.json --figure out.png

Suites: step (forward, backward, Adam), eval (forward only), kernel (building one layer's weight, forward and backward,
against channels and kernel size), layers (the same of every convolution, 3x3), groups (a training step of BCOP-Large
and the building of its kernels, with and without groups of channels), end_to_end (lipnet's own loop against its bare
step), certify (certified radii of 10,000 images against a plain float32 pass). Ratios are medians of paired rounds; the
machine's noise shows in the spread.
Beside the times of a training step stand the floating-point operations of its products, as torch counts them
(factorisations and elementwise work are not in it).
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import lipnet.app  # noqa: F401  (registers the resolver that the configuration uses)
from lipnet.certify import certify
from lipnet.certify.plain import to_plain
from lipnet.layers import BCOPConv2d, PaddedConv2d
from lipnet.layers.constrained import Constrained
from lipnet.models import build_model
from lipnet.models.choices import convolution
from lipnet.options.folder import config_dir
from lipnet.options.parse import Config, parse
from lipnet.options.registry import GROUPS

sys.path.insert(0, str(Path(__file__).parent))
from peers import available_peers, build_peer

CRITIC = [
    "model.channels=[64,128,256,512]",
    "model.kernel_sizes=[4,4,4,4]",
    "model.strides=[2,2,2,2]",
    "model.hidden=[]",
]
# row: overrides, input shape, outputs, batch
ROWS: dict[str, tuple[list[str], tuple[int, int, int], int, int]] = {
    "small 28x28": (["model=small", "dataset=mnist"], (1, 28, 28), 10, 128),
    "small 32x32": (["model=small", "dataset=cifar10"], (3, 32, 32), 10, 128),
    "large 28x28": (["model=large", "dataset=mnist"], (1, 28, 28), 10, 128),
    "large 32x32": (["model=large", "dataset=cifar10"], (3, 32, 32), 10, 128),
    "large splines 32x32": (["model=large", "dataset=cifar10", "activation=spline"], (3, 32, 32), 10, 128),
    "fc 28x28": (["model=fc", "dataset=mnist"], (1, 28, 28), 10, 128),
    "fc 32x32": (["model=fc", "dataset=cifar10"], (3, 32, 32), 10, 128),
    "critic 64x64": (["dataset=cifar10", *CRITIC], (3, 64, 64), 1, 64),
}
WIDE = ["model=large", "model.channels=[128,128,256,256]", "model.hidden=[2048,2048]", "dataset=cifar10"]
GPU_ROWS = {"large x4 32x32": (WIDE, (3, 32, 32), 10, 1024)}
GROUPED = {
    f"large {name} groups={groups}": ["model=large", f"conv.orthogonalizer={name}", f"conv.groups={groups}"]
    for name in ("cholesky", "bjorck")
    for groups in (1, 4)
}
PLAIN = ["conv=plain", "linear=plain"]
CANDIDATES = {
    "plain": PLAIN,
    "bcop cholesky": ["conv=bcop", "linear=orthogonal"],
    "rko cholesky": ["conv=rko", "linear=orthogonal"],
    "bcop bjorck": ["conv=bcop", "conv.orthogonalizer=bjorck", "linear=bjorck"],
}
Times = dict[str, list[float]]


def main() -> None:
    """Runs the chosen suites, prints their tables, writes what was asked for."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(arguments.seed)
    environment = {
        "torch": torch.__version__, "python": platform.python_version(), "machine": platform.machine(),
        "threads": arguments.threads, "seed": arguments.seed, "device": arguments.device,
        "rounds": arguments.rounds,
    }  # fmt: skip
    print("  ".join(f"{key} {value}" for key, value in environment.items()))
    report: dict = {"environment": environment}
    for suite in arguments.suites:
        report[suite] = SUITES[suite](arguments)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report, indent=2))
    if arguments.figure:
        _figure(report, arguments.figure)


def step_suite(arguments: argparse.Namespace) -> dict:
    """Forward, backward and one Adam step."""
    return _networks(arguments, _training_step, "training step", _operations)


def eval_suite(arguments: argparse.Namespace) -> dict:
    """Forward in evaluation mode, without gradients."""
    return _networks(arguments, _evaluation, "evaluation")


def _networks(arguments: argparse.Namespace, work: Callable, title: str, count: Callable | None = None) -> dict:
    peers = available_peers() if arguments.peers else {}
    report = {}
    rows = ROWS | GPU_ROWS if arguments.device == "cuda" else ROWS
    for row, (overrides, shape, outputs, batch) in chosen(rows, arguments.rows).items():
        networks = {}
        for name, choices in CANDIDATES.items():
            config = _config([*overrides, *choices])
            networks[name] = build_model(config, shape, outputs)
        networks["plain, torch's modules"] = _torch_modules(build_model(_config([*overrides, *PLAIN]), shape, outputs))
        networks |= {name: build_peer(layers, config.model, shape, outputs) for name, layers in peers.items()}
        inputs = torch.rand(batch, *shape, device=arguments.device)
        runs = {name: work(network.to(arguments.device), inputs) for name, network in networks.items()}
        counts = {name: count(run) for name, run in runs.items()} if count else None
        times = interleave(runs, arguments.rounds, arguments.seconds)
        report[row] = table(f"{title}, {row}, batch {batch}", times, counts)
    return report


def _torch_modules(network: nn.Sequential) -> nn.Sequential:
    """The plain network as one would write it with torch: padding and convolution as two modules, in torch's layout."""
    return nn.Sequential(*(nn.Sequential(*layer) if isinstance(layer, PaddedConv2d) else layer for layer in network))


def _operations(run: Callable[[], None]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def _training_step(network: nn.Module, inputs: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network.train()

    def step() -> None:
        outputs = network(inputs)
        loss = outputs.logsumexp(1).mean() if outputs.shape[1] > 1 else outputs.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _evaluation(network: nn.Module, inputs: torch.Tensor) -> Callable[[], None]:
    network.eval()

    def forward() -> None:
        with torch.no_grad():
            network(inputs)

    return forward


def kernel_suite(arguments: argparse.Namespace) -> dict:
    """Building one square BCOP kernel, forward and backward, beside the operations that it takes at least."""
    report = {}
    print("\nkernel building, forward and backward (ms), against the least count of multiply-adds")
    sizes = {
        f"c={channels} k={size}": (channels, size) for size in (1, 2, 3, 5) for channels in (32, 64, 128, 256, 512)
    }
    for row, (channels, kernel_size) in chosen(sizes, arguments.rows).items():
        layer = BCOPConv2d(channels, channels, kernel_size).to(arguments.device)
        gradient = torch.randn_like(layer.weight)

        def build(layer: BCOPConv2d = layer, gradient: torch.Tensor = gradient) -> None:
            with torch.no_grad():
                layer.raw_matrix.add_(0.0)  # a new version: the cached weight is dropped
            torch.autograd.grad(
                layer.effective_weight(), (layer.raw_matrix, layer.raw_projectors), gradient, allow_unused=True
            )

        milliseconds = 1e3 * statistics.median(interleave({"": build}, arguments.rounds, arguments.seconds)[""])
        count = kernel_multiply_adds(channels, kernel_size)
        report[row] = {"ms": milliseconds, "multiply_adds": count}
        print(f"  {row:<10} {milliseconds:9.2f} ms  {count / 1e6:10.1f} M multiply-adds")
    return report


def layers_suite(arguments: argparse.Namespace) -> dict:
    """Building one square 3x3 layer of every convolution, and 4x4 of stride 2 of the two that differ there, forward and
    backward; for images of 8x8, where it matters.
    """
    report = {}
    print("\nbuilding every convolution's weight, forward and backward (ms)")
    widths = (32, 64, 128, 256, 512)
    sizes = {f"{conv} c={channels}": (conv, channels, 3, 1) for conv in GROUPS["conv"] for channels in widths}
    sizes |= {f"{conv} s=2 c={channels}": (conv, channels, 4, 2) for conv in ("bcop", "aoc") for channels in widths}
    for row, (conv, channels, size, stride) in chosen(sizes, arguments.rows).items():
        layer = convolution(_config([f"conv={conv}"]), (8, 8))(channels, channels, size, stride).to(arguments.device)
        if not isinstance(layer, Constrained) or not layer.free_parameters()[0].requires_grad:
            continue
        milliseconds = 1e3 * statistics.median(
            interleave({"": _kernel_building([layer])}, arguments.rounds, arguments.seconds)[""]
        )
        report[row] = {"ms": milliseconds}
        print(f"  {row:<16} {milliseconds:9.2f} ms")
    return report


def kernel_multiply_adds(channels: int, kernel_size: int) -> int:
    """Products that building a square kernel takes, forward and backward (twice the forward's), without factorisations.

    One Gram matrix and one product for H and for each basis, then for each two-tap factor two thin products a tap.
    """
    half, factors = channels // 2, kernel_size - 1
    orthonormal = 2 * channels**3 + 2 * factors * 2 * channels * half**2
    rows = sum(size * size + (size + 1) * size for size in range(1, kernel_size))
    return 3 * (orthonormal + rows * 2 * channels * channels * half)


def groups_suite(arguments: argparse.Namespace) -> dict:
    """A step, and the building of its kernels alone (forward and backward), as multiples of the first step."""
    report = {}
    for row, overrides in chosen(GROUPED, arguments.rows).items():
        network = build_model(_config(overrides), (1, 28, 28), 10).to(arguments.device)
        images = torch.rand(128, 1, 28, 28, device=arguments.device)
        convolutions = [layer for layer in network.modules() if isinstance(layer, BCOPConv2d)]
        runs = {"step": _training_step(network, images), "kernels": _kernel_building(convolutions)}
        parameters = sum(parameter.numel() for parameter in network.parameters())
        times = interleave(runs, arguments.rounds, arguments.seconds)
        report[row] = table(f"{row}, batch 128, {parameters:,} parameters", times)
        report[row]["parameters"] = parameters
    return report


def _kernel_building(layers: Sequence[Constrained]) -> Callable[[], None]:
    free = [parameter for layer in layers for parameter in layer.free_parameters()]
    gradients = [torch.randn_like(layer.effective_weight()) for layer in layers]

    def build() -> None:
        with torch.no_grad():
            for parameter in free:
                parameter.add_(0.0)  # a new version: the cached weights are dropped
        torch.autograd.grad([layer.effective_weight() for layer in layers], free, gradients)

    return build


def end_to_end_suite(arguments: argparse.Namespace) -> dict:
    """An epoch of lipnet's loop (batches, sums, schedule, bar) against as many bare steps on one batch."""
    from lipnet.data.images import Split
    from lipnet.training.loop import Loop

    class Objective:
        sums = ("loss",)

        def begin_step(self, share: float) -> None:
            pass

        def step(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> tuple:
            loss = nn.functional.cross_entropy(model(images), labels)
            return loss, loss.detach()[None]

    config = _config(["dataset=mnist", "epochs=1000", "batch_size=128", "progress=off"])
    count = 128 * 40
    split = Split(
        torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8), torch.randint(10, (count,)), 255, torch.arange(count)
    )
    loop = Loop(build_model(config, (1, 28, 28), 10), split, config, Path("."), {})
    bare = build_model(config, (1, 28, 28), 10)
    optimizer = torch.optim.Adam(bare.parameters(), lr=1e-3)
    images, labels = split.pixels(slice(0, 128)), split.labels[:128]

    class NoStop:
        number = None

    def epoch() -> None:
        loop.progress.batch = 0
        loop._epoch(Objective(), NoStop(), lambda totals: None)

    def steps() -> None:
        bare.train()
        for _ in range(40):
            loss = nn.functional.cross_entropy(bare(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    times = interleave({"bare steps": steps, "lipnet's loop": epoch}, arguments.rounds, arguments.seconds)
    return table("40 steps of small, batch 128", times)


def certify_suite(arguments: argparse.Namespace) -> dict:
    """Certifying many images, bounds included, against a plain float32 pass in the same batches."""
    report = {}
    for row in chosen({row: None for row in ROWS if "critic" not in row}, arguments.rows):
        overrides, shape, outputs, batch = ROWS[row]
        model = build_model(_config(overrides), shape, outputs).to(arguments.device).eval()
        plain = to_plain(model).requires_grad_(False)
        exact = to_plain(plain).double()
        images = torch.rand(arguments.images, *shape, device=arguments.device)
        labels = torch.zeros(len(images), dtype=torch.long, device=arguments.device)
        runs = {
            "plain float32 pass": partial(_forward, plain, images, batch),
            "certify, float32": partial(certify, plain, images, labels),
            "certify, float64": partial(certify, exact, images, labels),
        }
        with torch.no_grad():
            times = interleave(runs, arguments.rounds, arguments.seconds)
        report[row] = table(f"certification, {row}, {arguments.images:,} images", times)
    return report


def _forward(model: nn.Module, images: Tensor, batch: int) -> None:
    for part in images.split(batch):
        model(part)


def interleave(
    runs: Mapping[str, Callable[[], object]],
    rounds: int,
    seconds: float,
    warm_ups: int = 2,
    least: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """A B C A B C ...: at least ``least`` rounds, at most ``rounds``, and no new round after ``seconds``."""
    for run in runs.values():
        for _ in range(min(warm_ups, rounds)):
            run()
    times: Times = {name: [] for name in runs}
    end = time.perf_counter() + seconds
    for number in range(rounds):
        if number >= least and time.perf_counter() > end:
            break
        for name, run in runs.items():
            _synchronize()
            started = clock()
            run()
            _synchronize()
            times[name].append(clock() - started)
    return times


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def table(title: str, times: Times, counts: dict[str, int] | None = None) -> dict:
    """Prints medians, ratios to the first candidate paired by round with their quartiles, and operations."""
    reference = next(iter(times.values()))
    print(f"\n{title} ({len(reference)} rounds)")
    report = {}
    for name, measured in times.items():
        ratios = sorted(ours / theirs for ours, theirs in zip(measured, reference, strict=True))
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        milliseconds = 1e3 * statistics.median(measured)
        report[name] = {"ms": milliseconds, "ratio": middle, "ratio_quartiles": [low, high]}
        line = f"  {name:<24} {milliseconds:10.2f} ms   x {middle:6.2f}   [{low:.2f}, {high:.2f}]"
        if counts:
            report[name]["operations"] = counts[name]
            line += f"   {counts[name] / 1e9:8.2f} G operations"
        print(line)
    return report


TITLES = {"step": "training step", "eval": "evaluation", "certify": "certification of 10,000 images"}
DRAWN = (*TITLES, "kernel")


def _figure(report: dict, path: str) -> None:
    from lipnet.display.canvas import blank_figure

    drawn = [suite for suite in DRAWN if suite in report]
    figure = blank_figure(figsize=(10, 3.8 * len(drawn)), layout="constrained")
    for axes, suite in zip(figure.subplots(len(drawn), squeeze=False).flat, drawn, strict=True):
        if suite == "kernel":
            _draw_kernels(axes, report[suite])
        else:
            _draw_ratios(axes, report[suite], TITLES[suite])
    figure.savefig(path, dpi=130)


def _draw_ratios(axes: Any, rows: dict, title: str) -> None:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    for index, name in enumerate(names):
        heights = [row.get(name, {}).get("ratio", 0) for row in rows.values()]
        places = [place + 0.8 * (index + 0.5) / len(names) - 0.4 for place in range(len(heights))]
        bars = axes.bar(places, heights, 0.8 / len(names), label=name)
        axes.bar_label(bars, [f"{height:.1f}" for height in heights], fontsize=7)
    axes.set_xticks(range(len(rows)), list(rows))
    axes.set(yscale="log", ylabel="time / plain network", title=title)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.margins(y=0.12)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def _draw_kernels(axes: Any, rows: dict) -> None:
    times: dict[str, dict[int, float]] = {}
    for row, measured in rows.items():
        channels, size = (int(part.partition("=")[2]) for part in row.split())
        times.setdefault(f"kernel size {size}", {})[channels] = measured["ms"]
    for label, line in times.items():
        axes.loglog(list(line), list(line.values()), marker="o", label=label)
    widths = sorted({channels for line in times.values() for channels in line})
    axes.set_xticks(widths, [str(channels) for channels in widths])
    axes.minorticks_off()
    axes.set(xlabel="channels", ylabel="ms", title="one kernel, forward and backward")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def _config(overrides: list[str]) -> Config:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return parse(compose("config", overrides=overrides))


def chosen(rows: dict, names: list[str] | None) -> dict:
    """Those whose name holds one of the texts; all if there are none."""
    return {row: value for row, value in rows.items() if not names or any(name in row for name in names)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; default: all")
    parser.add_argument("--rows", nargs="*", help="only rows whose name holds one of these texts")
    parser.add_argument("--peers", action="store_true", help="add orthogonium and deel-torchlip, where installed")
    parser.add_argument("--rounds", type=int, default=31, help="at most this many rounds")
    parser.add_argument("--seconds", type=float, default=20, help="no new round of a row after this time")
    parser.add_argument("--images", type=int, default=10_000, help="that are certified")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", help="write every figure here")
    parser.add_argument("--figure", metavar="FILE", help=f"draw {', '.join(DRAWN)} here (PNG)")
    arguments = parser.parse_args()
    arguments.suites = arguments.suites or list(SUITES)
    unknown = [suite for suite in arguments.suites if suite not in SUITES]
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)}; the suites are {', '.join(SUITES)}")
    if arguments.figure and not any(suite in DRAWN for suite in arguments.suites):
        parser.error(f"--figure: nothing to draw; it shows {', '.join(DRAWN)}")
    return arguments


SUITES: dict[str, Callable[[argparse.Namespace], dict]] = {
    "step": step_suite,
    "eval": eval_suite,
    "kernel": kernel_suite,
    "layers": layers_suite,
    "groups": groups_suite,
    "end_to_end": end_to_end_suite,
    "certify": certify_suite,
}

if __name__ == "__main__":
    main()
