"""Where training diverged. Steps are not watched, which would cost each one a wait for the device: once a check finds
NaN or infinity, the run is repeated from its last checkpoint, which is exact, and every step of it is looked at."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lipnet.errors import UserError
from lipnet.layers import OrthogonalizationError
from lipnet.training import distributed

if TYPE_CHECKING:
    from lipnet.training.loop import Loop
    from lipnet.training.protocols import Objective


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no entry is NaN or infinite; waits for the device once."""
    found = [torch.isfinite(tensor).all() for tensor in tensors if tensor.is_floating_point()]
    return not found or bool(torch.stack([flag.to(found[-1].device) for flag in found]).all())


def diverged(loop: "Loop", objective: "Objective") -> UserError:
    """Repeats ``loop`` from ``last.pt`` to the step that fails; returns the error that names step, layer and remedy.

    The loop's network is left as that step left it.
    """
    end = _step(loop)
    loop.restore()
    start, start_epoch, start_batch = _step(loop), loop.progress.epoch, loop.progress.batch
    found = _first_failure(loop, objective)
    if found is None:  # on a device whose arithmetic is not the same twice
        found = f"between step {start + 1} and step {end}, but not when they were repeated: a number that is not finite"
    best = f" best.pt is of epoch {loop.progress.best_epoch}." if loop.best.is_file() else ""
    return UserError(
        f"training diverged: {found}. A smaller optimizer.lr (it is {loop.config.optimizer.lr:g}) usually avoids it. "
        f"The last good state is {loop.last}, after {start_batch} batches of epoch {start_epoch + 1}.{best}"
    )


def _step(loop: "Loop") -> int:
    return loop.progress.epoch * loop.batches + loop.progress.batch


def _first_failure(loop: "Loop", objective: "Objective") -> str | None:
    """Runs to the end of the epoch, or to the first step that shows NaN or infinity, and says what showed it."""
    loop.trained = loop.eager  # compiled code has no layers to look at
    loop.model.train()
    progress = loop.progress
    batches = loop.split.training_batches(
        loop.config.batch_size, loop.config.seed, progress.epoch, first=progress.batch
    )
    for images, labels in batches:
        place = f"at step {_step(loop) + 1} (batch {progress.batch + 1} of epoch {progress.epoch + 1})"
        with _watched(loop.model) as failed:
            try:
                sums = loop.step(objective, images, labels)
            except OrthogonalizationError as error:
                return f"{place}, {error}"
        problem = distributed.first(_problem(loop.model, failed, images, sums))
        if problem:
            return f"{place}, {problem} is not finite"
    return None


def _problem(model: nn.Module, failed: list[str], images: Tensor, sums: Tensor) -> str | None:
    """What came first in the step: an input, a layer's output, the loss, a gradient, a parameter."""
    if not all_finite([images]):
        return "an input"
    if failed:
        return f"the output of {failed[0]}"
    if not all_finite([sums]):
        return "the loss"
    parameters = list(model.named_parameters())
    for name, parameter in reversed(parameters):  # the backward pass meets the last layer first
        if parameter.grad is not None and not all_finite([parameter.grad]):
            return f"the gradient of {_described(model, name)}"
    for name, parameter in parameters:
        if not all_finite([parameter]):
            return f"after the optimizer's update {_described(model, name)}"
    return None


@contextmanager
def _watched(model: nn.Module) -> Iterator[list[str]]:
    """A list of the layers whose outputs are not finite, in the order of the forward pass."""
    failed: list[str] = []

    def watch(name: str, layer: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(layer: nn.Module, inputs: tuple, output: Tensor) -> None:
            if not all_finite([output]):
                failed.append(f"layer {name} ({layer})")

        return layer.register_forward_hook(note)

    handles = [watch(name, layer) for name, layer in model.named_modules() if not list(layer.children())]
    try:
        yield failed
    finally:
        for handle in handles:
            handle.remove()


def _described(model: nn.Module, parameter: str) -> str:
    layer, _, _ = parameter.rpartition(".")
    return f"{parameter} ({model.get_submodule(layer)})"
