"""A network compiled for training."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lipnet.errors import UserError

log = logging.getLogger("lipnet")


def compiled_network(model: nn.Module) -> Callable:
    """The model, compiled at its first call.

    Raises:
        UserError: at that call, where the machine cannot compile.
    """
    from torch._dynamo.exc import TorchDynamoException  # two seconds that only this switch should cost

    torch.compiler.reset()  # jobs of a sweep share a process, and its limit of recompilations
    compiled = torch.compile(model)

    def call(images: Tensor) -> Tensor:
        try:
            return compiled(images)
        except TorchDynamoException as error:
            reason = " ".join(str(error).split("\n\n")[0].split())
            raise UserError(f"compile=true: torch cannot compile here ({reason}); use compile=false.") from error

    log.info("compiling the network: the first step takes up to a minute")
    return call
