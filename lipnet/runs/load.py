"""Finished runs, read back."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lipnet.errors import UserError
from lipnet.options.config import Config
from lipnet.options.facts import inputs_and_outputs
from lipnet.options.registry import GROUPS, load_code
from lipnet.runs import checkpoint
from lipnet.runs.identity import NO_RESULT_KEYS
from lipnet.runs.recorded import differences, saved_config
from lipnet.runs.weights import load_weights


@dataclass(frozen=True)
class Run:
    """A trained network and how it came about.

    Attributes:
        model: in evaluation mode, on the CPU; ``to_plain(model)`` gives plain torch modules.
        config: the run's checked configuration.
        choices: group -> option.
        epoch: how many epochs the loaded weights were trained for.
    """

    model: nn.Sequential
    config: Config
    choices: dict[str, str]
    epoch: int


def load_run(directory: str | Path, which: str = "best") -> Run:
    """Loads a run directory's network.

    Args:
        directory: a run directory (it holds ``checkpoints/``).
        which: ``"best"`` (on the validation split) or ``"last"``.

    Raises:
        UserError: there is no such checkpoint, or it does not fit its configuration.
    """
    path = Path(directory) / "checkpoints" / f"{which}.pt"
    saved = checkpoint.load(path)
    checkpoint.require(saved, path, model=dict, config=dict, choices=dict, progress=dict)
    config = saved_config(saved)
    model = new_model(config)
    load_weights(model, saved["model"], str(path))
    epoch = saved["progress"].get("epoch")
    if type(epoch) is not int:
        raise UserError(f"{path}: its progress names no epoch.")
    return Run(model.eval(), config, saved["choices"], epoch)


def new_model(config: Config) -> nn.Sequential:
    """The configuration's network with fresh weights, as its task builds it."""
    network: nn.Sequential = load_code(GROUPS["task"][config.task.name].network)(
        config, *inputs_and_outputs(config.dataset)
    )
    return network


def refuse_changes(saved: Config, given: Config, allowed: tuple[str, ...], command: str) -> None:
    """Refuses a configuration that differs from a saved one in a key that ``command`` may not change.

    Raises:
        UserError: naming every such key with both values.
    """
    problems = [
        f"{key}: {command} takes this from the run, which has {was}, not {now}."
        for key, was, now in differences(dataclasses.asdict(saved), dataclasses.asdict(given))
        if not {key, key.partition(".")[0]} & {*allowed, *NO_RESULT_KEYS}
    ]
    if problems:
        raise UserError(*problems)
