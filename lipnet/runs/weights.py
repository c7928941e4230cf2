"""Weights from a file into a network: refused, with the reason, unless they are numbers that fit it."""

from typing import Any

import torch
from torch import Tensor, nn

from lipnet.errors import UserError, reason_of


def check_weights(state: Any, source: str) -> None:
    """Refuses what is no dict of finite tensors.

    Args:
        source: where it is from, for the message.

    Raises:
        UserError: naming the first such entry.
    """
    if not isinstance(state, dict) or not state:
        raise UserError(f"{source}: holds no weights.")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
            raise UserError(f"{source}: {name!s:.80} is no tensor with a name.")
        if not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{source}: {name} holds NaN or infinity; this network diverged or its file is damaged.")


def load_weights(model: nn.Module, state: Any, source: str) -> None:
    """Copies checked weights into ``model``.

    Raises:
        UserError: they are not finite numbers, or belong to another architecture.
    """
    check_weights(state, source)
    for name, own in model.state_dict().items():
        if name in state and state[name].dtype != own.dtype:
            raise UserError(f"{source}: {name} is {state[name].dtype}, not {own.dtype}.")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{source}: its weights do not fit its configuration ({reason_of(error, 300)}).") from None
