"""A network that a function of the user's own returns, with weights from a file perhaps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lipnet.errors import UserError, reason_of
from lipnet.models.choices import Shape
from lipnet.options.config import Config
from lipnet.options.models import OwnModule
from lipnet.options.option import of_kind
from lipnet.options.plugins import loaded_plugins
from lipnet.options.registry import load_code, taken
from lipnet.runs.checkpoint import UNREADABLE
from lipnet.runs.safetensors import read_safetensors
from lipnet.runs.weights import load_weights


def own_network(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    """What ``model.build`` returns; it is given what it has arguments for: ``config``, ``input_shape``, ``outputs``.

    Raises:
        UserError: its module was not named by the user, or it returns no network of that many outputs.
    """
    option = of_kind(config.model, OwnModule)
    given = f"model.build={option.build}"
    if option.module not in loaded_plugins():
        raise UserError(f"{given}: what a run names is never imported by itself; add plugins=[{option.module}].")
    try:
        build: Callable[..., Any] = load_code(str(option.build))
        network = build(**taken(build, config=config, input_shape=input_shape, outputs=outputs))
    except Exception as error:  # of code that may do anything
        raise UserError(f"{given}: {type(error).__name__}: {' '.join(str(error).split())[:300]}.") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"{given}: returns {type(network).__name__}, not an nn.Module.")
    _check_outputs(given, network.eval(), input_shape, outputs)
    return [network]


def begin_with_weights(model: nn.Sequential, config: Config) -> None:
    """Loads the weights that a network of the user's own begins with; others begin as they are.

    Raises:
        UserError: the file cannot be read, or holds another network's weights.
    """
    option = config.model
    if isinstance(option, OwnModule) and option.weights is not None:
        path = Path(option.weights)
        state = read_safetensors(path) if path.suffix == ".safetensors" else _read_state(path)
        load_weights(model[-1], state, f"model.weights={option.weights}")


def _read_state(path: Path) -> Any:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = reason_of(error)
        raise UserError(f"model.weights={path}: not a readable file of weights ({reason}).") from None
    for key in ("state_dict", "model"):  # as many save them, beside other things
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            return content[key]
    return content


def _check_outputs(given: str, network: nn.Module, shape: Shape, outputs: int) -> None:
    try:
        with torch.no_grad():
            made = network(torch.rand(2, *shape))
    except Exception as error:  # of code that may do anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(f"{given}: fails on inputs of shape (2, {', '.join(map(str, shape))}) ({reason}).") from None
    if tuple(getattr(made, "shape", ())) != (2, outputs):
        found = tuple(made.shape) if isinstance(made, torch.Tensor) else type(made).__name__
        raise UserError(
            f"{given}: gives {found} for two inputs, where (2, {outputs}) belongs: an output for each class."
        )
