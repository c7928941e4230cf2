#!/usr/bin/env python
"""Times the gradients of each example of a batch by every strategy, interleaved in one process.

    python scripts/benchmarks/per_example.py                                  # the networks of the paper, an hour
    python scripts/benchmarks/per_example.py --images 64 --rounds 5           # on smaller images, minutes
    python scripts/benchmarks/per_example.py clip --rows alexnet --json out.json

Suites: gradients (all of them, in memory at once) and clip (their norms, and the sum of the gradients clipped to norm
1, which is what private training needs). Networks are those of Rochette, Manoel and Tramel 2019 (arXiv 1912.06015):
AlexNet with batches of 16, VGG16 with batches of 8, and a family of convolutional networks whose first layer has 25
channels, with a rate from each layer to the next, ReLU, pooling after every second convolution and one fully connected
layer. Beside lipnet's strategies stand torch.func's own ``vmap(grad(...))``, opacus (where installed), and an ordinary
backward pass of the whole batch. Ratios are to ``auto``, medians of paired rounds. The memory of a run is what it took
at its peak above what was there before it.
"""

import argparse
import contextlib
import copy
import ctypes
import gc
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from lipnet.per_example import per_example_gradients, recording

sys.path.insert(0, str(Path(__file__).parent))
from benchmark import interleave, table

Run = Callable[[], object]


def toy(kernel: int, layers: int, rate: float, images: int) -> nn.Module:
    """The paper's family."""
    channels, width, modules, side = 3, 25.0, [], images
    for number in range(1, layers + 1):
        modules += [nn.Conv2d(channels, int(width), kernel), nn.ReLU()]
        channels, width, side = int(width), width * rate, side - kernel + 1
        if number % 2 == 0:
            modules.append(nn.MaxPool2d(2))
            side //= 2
    return nn.Sequential(*modules, nn.Flatten(), nn.Linear(channels * side**2, 10))


def of_torchvision(name: str, images: int) -> nn.Module:
    """With dropout switched off, and ten classes as everywhere here; both pool images of any size."""
    from torchvision import models

    return getattr(models, name)(num_classes=10).eval()


# row -> network of images of a side, batch
ROWS: dict[str, tuple[Callable[[int], nn.Module], int]] = {
    "alexnet": (partial(of_torchvision, "alexnet"), 16),
    "vgg16": (partial(of_torchvision, "vgg16"), 8),
}
RATES = {2: (1.0, 4.0, 16.0), 3: (1.0, 2.0, 4.0), 4: (1.0, 2.5)}
FAMILY = [(kernel, layers, rate, 8) for kernel in (3, 5) for layers, rates in RATES.items() for rate in rates]
ROWS |= {
    f"toy k={kernel} layers={layers} rate={rate:g} batch={batch}": (partial(toy, kernel, layers, rate), batch)
    for kernel, layers, rate, batch in (*FAMILY, (5, 3, 3.0, 3), (5, 3, 3.0, 15))
}


def main(words: Sequence[str] | None = None) -> dict:
    """Runs the chosen suites, prints their tables, writes what was asked for."""
    arguments = _arguments(words)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    environment = {
        "torch": torch.__version__, "machine": platform.machine(), "threads": arguments.threads,
        "device": arguments.device, "images": arguments.images, "rounds": arguments.rounds,
        "processor_time": arguments.processor_time,
    }  # fmt: skip
    print("  ".join(f"{key} {value}" for key, value in environment.items()))
    report: dict = {"environment": environment}
    for suite in arguments.suites:
        rows = {
            row: of for row, of in ROWS.items() if not arguments.rows or any(part in row for part in arguments.rows)
        }
        report[suite] = {row: _row(suite, row, *of, arguments) for row, of in rows.items()}
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report, indent=2))
    return report


def _row(suite: str, row: str, make: Callable[[int], nn.Module], batch: int, arguments: argparse.Namespace) -> dict:
    network = make(arguments.images).to(arguments.device)
    inputs = torch.randn(batch, 3, arguments.images, arguments.images, device=arguments.device)
    targets = torch.randint(10, (batch,), device=arguments.device)
    runs = SUITES[suite](network, inputs, targets)
    taken = {name: run for name, run in runs.items() if not arguments.only or name == "auto" or name in arguments.only}
    memory = {name: peak_memory(run) for name, run in taken.items()}
    clock = time.process_time if arguments.processor_time else time.perf_counter
    times = interleave(taken, arguments.rounds, arguments.seconds, warm_ups=0, least=3, clock=clock)
    measured = table(f"{suite}, {row}", times)
    for name, numbers in measured.items():
        numbers["MiB"] = memory[name] / 2**20
    print("  MiB: " + ", ".join(f"{name} {numbers / 2**20:.0f}" for name, numbers in memory.items()))
    return measured


def losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """One value for each example."""
    return functional.cross_entropy(outputs, targets, reduction="none")


def gradients_suite(network: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Run]:
    """All gradients."""
    of = (network, losses, inputs, targets)
    runs: dict[str, Run] = {
        name: partial(per_example_gradients, *of, name) for name in ("auto", "naive", "multi", "crb", "unfold")
    }
    runs["torch.func"] = partial(of_torch_func, *of[:1], *of[2:])
    runs["ordinary backward"] = partial(ordinary, *of[:1], *of[2:])
    return runs | of_opacus(network, inputs, targets, ghost=False)


def clip_suite(network: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Run]:
    """Norms, and the sum of clipped gradients."""
    of = (network, inputs, targets)
    runs: dict[str, Run] = {name: partial(clipped_by, name, *of) for name in ("auto", "crb", "unfold", "ghost")}
    runs["naive"] = partial(clipped_naively, *of)
    runs["multi"] = lambda: clipped(per_example_gradients(network, losses, inputs, targets, "multi"))
    runs["torch.func"] = lambda: clipped(of_torch_func(*of))
    runs["ordinary backward"] = partial(ordinary, *of)
    return runs | of_opacus(*of, ghost=True)


def factors_of(norms: Tensor) -> Tensor:
    """What clips gradients of these norms to 1."""
    return (1 / norms.clamp_min(1e-12)).clamp_max(1.0)


def clipped(gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sum of clipped gradients that are there."""
    squares = [gradient.flatten(1).square().sum(1) for gradient in gradients.values()]
    factors = factors_of(torch.stack(squares).sum(0).sqrt())
    return {name: torch.tensordot(factors, gradient, 1) for name, gradient in gradients.items()}


def clipped_by(strategy: str, network: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The same from a recording."""
    with recording(network, strategy) as tape:
        loss = losses(network(inputs), targets).sum()
    tape.backward(loss)
    return tape.weighted_sums(factors_of(tape.norms()))


def clipped_naively(network: nn.Module, inputs: Tensor, targets: Tensor) -> list[Tensor]:
    """The same, one example after the other."""
    parameters = list(network.parameters())
    totals = [torch.zeros_like(parameter) for parameter in parameters]
    for example, target in zip(inputs.split(1), targets.split(1), strict=True):
        gradients = torch.autograd.grad(losses(network(example), target).sum(), parameters)
        norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
        for total, gradient in zip(totals, gradients, strict=True):
            total.add_(gradient * factors_of(norm))
    return totals


def of_torch_func(network: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """As torch's documentation has it."""
    parameters = {name: parameter.detach() for name, parameter in network.named_parameters()}

    def loss(values: dict[str, Tensor], example: Tensor, target: Tensor) -> Tensor:
        return losses(functional_call(network, values, (example[None],)), target[None]).sum()

    found: dict[str, Tensor] = vmap(grad(loss), (None, 0, 0))(parameters, inputs, targets)
    return found


def ordinary(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
    """The gradient of the sum, from which no example's can be told."""
    return torch.autograd.grad(losses(network(inputs), targets).sum(), list(network.parameters()))


def of_opacus(network: nn.Module, inputs: Tensor, targets: Tensor, ghost: bool) -> dict[str, Run]:
    """opacus's gradients, and if ``ghost`` what it makes of them, by either of its two ways; none if not installed."""
    try:
        from opacus import GradSampleModule
        from opacus.grad_sample import GradSampleModuleFastGradientClipping
    except ImportError:
        print("opacus is not installed: left out")
        return {}
    module = GradSampleModule(for_opacus(network), loss_reduction="sum")

    def gradients() -> dict[str, Tensor]:
        losses(module(inputs), targets).sum().backward()
        found = {name: parameter.grad_sample for name, parameter in module.named_parameters()}
        module.zero_grad(set_to_none=True)
        return found

    if not ghost:
        return {"opacus": gradients}
    fast = GradSampleModuleFastGradientClipping(
        for_opacus(network), loss_reduction="sum", max_grad_norm=1.0, use_ghost_clipping=True
    )

    def two_passes() -> None:
        values = losses(fast(inputs), targets)
        values.sum().backward(retain_graph=True)
        factors = factors_of(fast.get_norm_sample())
        fast.zero_grad(set_to_none=True)
        fast.disable_hooks()
        (factors * values).sum().backward()
        fast.enable_hooks()
        fast.zero_grad(set_to_none=True)

    return {"opacus": lambda: clipped(gradients()), "opacus, ghost": two_passes}


def for_opacus(network: nn.Module) -> nn.Module:
    """A copy as opacus takes it: in training mode, without dropout all the same, and nothing in place."""
    network = copy.deepcopy(network).train()
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


def peak_memory(run: Run) -> int:
    """Bytes above what was there before; 0 where the system does not tell."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before would hide what is taken now
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    except OSError:
        run()
        return 0
    before = _of_status("VmRSS")
    run()
    return max(0, _of_status("VmHWM") - before)


def _of_status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; default: all")
    parser.add_argument("--rows", nargs="*", help="only rows whose name holds one of these texts")
    parser.add_argument("--only", nargs="*", help="only these candidates, and auto")
    parser.add_argument("--images", type=int, default=256, help="side of the images, in pixels")
    parser.add_argument("--rounds", type=int, default=5, help="at most this many rounds")
    parser.add_argument("--seconds", type=float, default=20, help="no new round of a row after this time")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="not the clock's: for a machine that does other work, 1 thread",
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", help="write every figure here")
    arguments = parser.parse_args(words)
    arguments.suites = arguments.suites or list(SUITES)
    unknown = [suite for suite in arguments.suites if suite not in SUITES]
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)}; the suites are {', '.join(SUITES)}")
    return arguments


SUITES: dict[str, Callable[[nn.Module, Tensor, Tensor], dict[str, Run]]] = {
    "gradients": gradients_suite,
    "clip": clip_suite,
}

if __name__ == "__main__":
    main()
