"""One run in several processes, as torchrun starts them: who writes, who computes what, and how the parts meet.

In a single process every function here is the trivial one. Gradients are averaged by ``DistributedDataParallel``; what
is small (sums, flags, logits, a checkpoint) is exchanged on the CPU, through gloo.
"""

import datetime
import functools
import gc
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from lipnet.errors import UserError, reason_of
from lipnet.training.processes import local_rank

T = TypeVar("T")

_TIMEOUT = datetime.timedelta(days=1)  # torchrun ends the others when one process dies; waiting is no error
_SILENT, _PATIENCE = 10.0, 600.0  # seconds until it is said for whom a start waits, and until it gives up


def start() -> None:
    """Joins the other processes; the environment says which ones (``RANK``, ``WORLD_SIZE``, ``MASTER_ADDR``).

    Raises:
        UserError: they do not come, or cannot be reached.
    """
    store, number, count = _joined()
    store.set_timeout(_TIMEOUT)
    gpus = torch.cuda.is_available() and distributed.is_nccl_available()
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    distributed.init_process_group(backend, store=store, rank=number, world_size=count, timeout=_TIMEOUT)


def _joined() -> tuple[Any, int, int]:
    """The store by which the processes find each other, once all are there; this one's number; how many they are."""
    number, count = os.environ["RANK"], os.environ["WORLD_SIZE"]
    place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    found: list[Any] = []

    def join() -> None:  # in a thread, since it cannot be interrupted
        try:
            patience = datetime.timedelta(seconds=_PATIENCE)
            found.append(next(distributed.rendezvous("env://", timeout=patience)))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=join, daemon=True)
    thread.start()
    thread.join(_SILENT)
    if thread.is_alive():
        sys.stderr.write(
            f"lipnet: process {number} waits for the others of WORLD_SIZE={count} at {place} (MASTER_ADDR, MASTER_PORT)"
            f", {_PATIENCE / 60:g} minutes at most\n"
        )
        thread.join()
    if isinstance(found[0], Exception):
        reason = reason_of(found[0], 300)
        raise UserError(
            f"WORLD_SIZE={count}: process {number} did not meet the others at {place} ({reason}); start all of them "
            "with torchrun, or unset WORLD_SIZE for a run by itself."
        )
    return found[0]


def finish() -> None:
    """Leaves the other processes at the end of a run."""
    if size() > 1:
        gc.collect()  # a trained network in a cycle holds threads of the group, which abort the interpreter's exit
        distributed.destroy_process_group()


def size() -> int:
    """How many processes share the run."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """This process's number among them."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_main() -> bool:
    """Whether this process writes the run directory and the log."""
    return rank() == 0


def from_main(function: Callable[[], T]) -> T:
    """What ``function`` returns in the first process, for all of them."""
    if size() == 1:
        return function()
    box: list[Any] = [function() if is_main() else None]
    distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def first(value: T | None) -> T | None:
    """The value of the first process that has one, for all of them."""
    if size() == 1:
        return value
    values: list[T | None] = [None] * size()
    distributed.all_gather_object(values, value)
    return next((found for found in values if found is not None), None)


def first_of_machine_first(function: Callable[[], T]) -> T:
    """``function()`` in every process, but in a machine's first one before the others: what it fetches is there."""
    waits = size() > 1 and local_rank() != 0
    if waits:
        total(torch.zeros(1))
    found = function()
    if size() > 1 and not waits:
        total(torch.zeros(1))
    return found


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process among those of its machine; the CPU for all.

    Raises:
        UserError: there are fewer GPUs than processes on this machine.
    """
    if size() == 1 or device.type != "cuda":
        return device
    number, gpus = local_rank(), torch.cuda.device_count()
    if number >= gpus:
        raise UserError(
            f"torchrun started more processes on this machine than it has GPUs ({gpus}); use "
            f"--nproc_per_node={gpus}, or device=cpu."
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def parallel(model: nn.Module) -> nn.Module:
    """The model to train: its gradients are means over all processes, its buffers the first one's."""
    if size() == 1:
        return model
    device = next(model.parameters()).device
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def own_share(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, float]:
    """This process's rows of a batch, and the weight that makes the mean of all processes' means the batch's mean.

    Where a batch has fewer rows than there are processes, those left over take one at weight 0: each must run forward
    and backward.
    """
    if size() == 1:
        return inputs, targets, 1.0
    rows = slice(rank(), None, size()) if rank() < len(inputs) else slice(0, 1)
    own = inputs[rows].contiguous()
    weight = len(own) * size() / len(inputs) if rank() < len(inputs) else 0.0
    return own, targets[rows], weight


def own_rows(count: int) -> Tensor:
    """Numbers of the rows that this process evaluates: equally many in each, so that the last wrap around."""
    part = -(-count // size())
    return torch.arange(rank() * part, (rank() + 1) * part) % max(count, 1)


def in_parts(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """``function(inputs)`` for a function of each row on its own: every process computes a part, all get the whole."""
    if size() == 1 or not len(inputs):
        return function(inputs)
    found = function(inputs[own_rows(len(inputs)).to(inputs.device)])
    parts = [torch.empty_like(found, device="cpu") for _ in range(size())]
    distributed.all_gather(parts, found.cpu().contiguous())
    return torch.cat(parts)[: len(inputs)].to(found.device)


def total(values: Tensor) -> Tensor:
    """The sum over all processes."""
    return _reduced(values, distributed.ReduceOp.SUM)


def smallest(values: Tensor) -> Tensor:
    """The minimum over all processes, entry by entry."""
    return _reduced(values, distributed.ReduceOp.MIN)


def largest(*values: float) -> list[float]:
    """The maximum over all processes, entry by entry: flags that all must agree on."""
    if size() == 1:
        return list(values)
    return _reduced(torch.tensor(values, dtype=torch.float64), distributed.ReduceOp.MAX).tolist()


def _reduced(values: Tensor, operation: Any) -> Tensor:
    if size() == 1:
        return values
    reduced = values.cpu().clone()
    distributed.all_reduce(reduced, operation)
    return reduced.to(values.device)


def outlive_the_others() -> None:
    """Lets a failing process say why: torchrun ends it with SIGTERM as soon as another one has ended."""
    if size() > 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


@functools.cache
def first_to_fail() -> bool:
    """Whether no other process has failed before; those that follow only lost their connection to it."""
    if size() == 1:
        return True
    store = distributed.distributed_c10d._get_default_store()
    try:
        return store.add("lipnet/failed", 1) == 1
    except RuntimeError:  # it has gone with the process that held it
        return False


def is_lost_connection(error: Exception) -> bool:
    """Whether another process has ended without a word: killed, or out of memory."""
    return size() > 1 and isinstance(error, RuntimeError) and bool(re.search("gloo|nccl|peer", str(error), re.I))
