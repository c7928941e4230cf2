"""Finished runs, read back."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from lipnet.commandline import config_dir
from lipnet.config import NODES, parse
from lipnet.data.facts import inputs_and_outputs
from lipnet.errors import UserError
from lipnet.models import build_gan, build_model
from lipnet.schema import GROUPS, Config
from lipnet.sweeps.identity import NO_RESULT_KEYS
from lipnet.training import checkpoint
from lipnet.training.weights import load_weights


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


def saved_config(saved: dict[str, Any]) -> Config:
    """A checkpoint's configuration; keys that came later, in a group too, have their defaults."""
    defaults = _read("config.yaml")
    config = {field.name: defaults[field.name] for field in dataclasses.fields(Config) if field.name in defaults}
    for key, value in saved["config"].items():
        if "${" in str(value):
            raise UserError(f"{key}={value}: a saved configuration holds values, no interpolations.")
        if key in GROUPS and isinstance(value, dict) and str(value.get("name")) in GROUPS[key]:
            value = _read(f"{key}/{value['name']}.yaml") | value
        elif key in NODES and isinstance(value, dict):
            value = config[key] | value
        config[key] = value
    try:
        return parse(OmegaConf.create(config))
    except OmegaConfBaseException as error:
        raise UserError(f"the saved configuration cannot be read ({str(error).splitlines()[0]}).") from None


def _read(file: str) -> dict[str, Any]:
    content: Any = OmegaConf.to_container(OmegaConf.load(config_dir() / file))
    return {key: value for key, value in content.items() if key != "defaults"}  # those are for composing


def new_model(config: Config) -> nn.Sequential:
    """The configuration's network with fresh weights; of ``task=gan``, a ``Gan``: the generator and its critic."""
    if config.task.name == "gan":
        return build_gan(config, inputs_and_outputs(config.dataset)[0])
    return build_model(config, *inputs_and_outputs(config.dataset))


def refuse_gan(config: Config, directory: str) -> None:
    """Refuses the configuration of a run of ``task=gan`` where a certificate is asked for.

    Raises:
        UserError: it is one.
    """
    if config.task.name == "gan":
        raise UserError(
            f"run={directory}: a GAN has no certificate; compare its images with real ones by task=wasserstein "
            f"dataset=gan run={directory}."
        )


def refuse_changes(saved: Config, given: Config, allowed: tuple[str, ...], command: str) -> None:
    """Refuses a configuration that differs from a saved one in a key that ``command`` may not change.

    Raises:
        UserError: naming every such key with both values.
    """
    problems = [
        f"{key}: {command} takes this from the run, which has {was}, not {now}."
        for key, was, now in _differences(dataclasses.asdict(saved), dataclasses.asdict(given))
        if not {key, key.partition(".")[0]} & {*allowed, *NO_RESULT_KEYS}
    ]
    if problems:
        raise UserError(*problems)


def _differences(saved: Any, given: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(saved, dict) and isinstance(given, dict):
        for key in {**saved, **given}:
            yield from _differences(saved.get(key), given.get(key), f"{path}.{key}".lstrip("."))
    elif saved != given:
        yield path, saved, given
