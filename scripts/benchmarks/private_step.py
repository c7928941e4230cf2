#!/usr/bin/env python
"""Times a private step of training beside an ordinary one, and beside opacus on the plain twin, all interleaved.

    python scripts/benchmarks/private_step.py                       # BCOP-Small on 28x28 images, batches of 256
    python scripts/benchmarks/private_step.py --model large --processor-time

A step is forward and backward pass, clipping to norm 1, noise and Adam. Ratios are to the private step of the
constrained network; the memory of a step is what it took at its peak above what was there before it.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from benchmark import interleave, table
from per_example import factors_of, for_opacus, losses, peak_memory

from lipnet.options.folder import config_dir
from lipnet.options.parse import parse
from lipnet.randomness import Secret
from lipnet.runs.load import new_model
from lipnet.training.private import Clipped, PrivateUpdate
from lipnet.training.update import PlainUpdate

Step = Callable[[], object]
PLAIN = ("conv=plain", "linear=plain", "activation=relu")
NOISE = 1.0


def main(words: Sequence[str] | None = None) -> dict:
    """Prints times, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small", choices=["small", "large", "fc"])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60, help="no new round after this time")
    parser.add_argument("--processor-time", action="store_true", help="not the clock's: for a machine with other work")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args(words)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    inputs, targets = torch.rand(arguments.batch, 1, 28, 28), torch.randint(10, (arguments.batch,))
    ours, plain = network(arguments.model), network(arguments.model, *PLAIN)
    steps: dict[str, Step] = {
        "private": private_step(ours, inputs, targets),
        "ordinary": ordinary_step(ours, inputs, targets),
        "plain twin, private": private_step(plain, inputs, targets),
        "plain twin, ordinary": ordinary_step(plain, inputs, targets),
        **opacus_steps(plain, inputs, targets),
    }
    memory = {name: peak_memory(step) for name, step in steps.items()}
    clock = time.process_time if arguments.processor_time else time.perf_counter
    times = interleave(steps, arguments.rounds, arguments.seconds, warm_ups=1, least=3, clock=clock)
    measured = table(f"a step of {arguments.model}, batch {arguments.batch}", times)
    print("  MiB: " + ", ".join(f"{name} {used / 2**20:.0f}" for name, used in memory.items()))
    return measured


def network(model: str, *options: str) -> nn.Module:
    """As a run on MNIST has it."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose("config", overrides=["dataset=mnist", f"model={model}", *options])
    return new_model(parse(config)).train()


def adam(model: nn.Module) -> torch.optim.Optimizer:
    """The same for all."""
    return torch.optim.Adam(model.parameters(), lr=1e-3)


def private_step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Step:
    """As ``task=private`` has it."""
    size = len(inputs)
    update = PrivateUpdate(model, adam(model), Clipped(model, 1.0, size), NOISE, size, Secret(0))
    return lambda: update.step(lambda: (losses(model(inputs), targets).sum() / size, torch.zeros(0)))


def ordinary_step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Step:
    """As every other task has it."""
    update = PlainUpdate(model, adam(model), None)  # type: ignore[arg-type]
    return lambda: update.step(lambda: (losses(model(inputs), targets).mean(), torch.zeros(0)))


def opacus_steps(model: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Step]:
    """By gradients that are formed, and by ghost clipping's two passes; none where opacus is not installed."""
    try:
        from opacus import GradSampleModule
        from opacus.grad_sample import GradSampleModuleFastGradientClipping
        from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
    except ImportError:
        print("opacus is not installed: left out")
        return {}
    module, fast = (
        GradSampleModule(_children_called(model)),
        GradSampleModuleFastGradientClipping(_children_called(model), max_grad_norm=1.0, use_ghost_clipping=True),
    )
    common = {"noise_multiplier": NOISE, "max_grad_norm": 1.0, "expected_batch_size": len(inputs)}
    optimizer = DPOptimizer(adam(module), **common)
    fast_optimizer = DPOptimizerFastGradientClipping(adam(fast), **common)

    def step() -> None:
        optimizer.zero_grad()
        losses(module(inputs), targets).mean().backward()
        optimizer.step()

    def ghost_step() -> None:
        fast_optimizer.zero_grad()
        values = losses(fast(inputs), targets)
        values.mean().backward(retain_graph=True)
        factors = factors_of(fast.get_norm_sample())
        fast_optimizer.zero_grad()
        fast.disable_hooks()
        (factors * values).sum().backward()
        fast.enable_hooks()
        fast_optimizer.step()

    return {"opacus on the plain twin": step, "opacus, ghost, on the plain twin": ghost_step}


def _children_called(model: nn.Module) -> nn.Module:
    """The plain twin of torch's own modules, each called as a module, which opacus hooks into."""
    from lipnet.layers.convolutions.padded import PaddedConv2d

    copied = for_opacus(model)
    modules = []
    for module in copied:
        modules += list(module.children()) if isinstance(module, PaddedConv2d) else [module]
    return nn.Sequential(*modules)


if __name__ == "__main__":
    main()
