"""The program: from the command line to a finished run. Torch is imported only once a run starts."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import secrets
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lipnet import commandline
from lipnet.config import parse
from lipnet.errors import UserError
from lipnet.schema import GROUPS, Config

if TYPE_CHECKING:
    from lipnet.tasks.session import Session

log = logging.getLogger("lipnet")


def _run_dir(resume: str | None, parent: str) -> str:
    """A directory of its own for every run, even for two that start in the same second; ``resume`` keeps its own."""
    if resume not in (None, "", "null"):
        return str(resume)
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return f"{parent}/{now}_{secrets.token_hex(3)}"


def _output_subdir(resume: str | None) -> str | None:
    """Where Hydra writes the configuration: nowhere when a run is continued, as it empties the old files first."""
    return ".hydra" if resume in (None, "", "null") else None


OmegaConf.register_new_resolver("lipnet.run_dir", _run_dir, use_cache=True, replace=True)
OmegaConf.register_new_resolver("lipnet.output_subdir", _output_subdir, replace=True)
OmegaConf.register_new_resolver("lipnet.groups", commandline.listed_groups, replace=True)


def run(config: DictConfig) -> None:
    """One run of a composed configuration. A user's mistake or a failed run ends with exit code 1."""
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        _run(config, HydraConfig.get())
    except UserError as error:
        if sweep:  # the other jobs go on; Hydra reports this one at the end
            raise CompactHydraException(str(error)) from error
        commandline.fail(error)


def _run(config: DictConfig, hydra_config: HydraConf) -> None:
    from lipnet.training.interrupt import Interrupted, StopRequest
    from lipnet.training.storage import silent_writers, storage_problem

    checked, directory = parse(config), Path(hydra_config.runtime.output_dir)
    if _is_complete(directory):
        log.info("%s is complete: nothing to continue; task=evaluate run=%s evaluates it again", directory, directory)
        return
    again = shlex.join([*_program(), f"resume={directory}"])
    session = None
    try:
        with StopRequest(at_once=True), silent_writers():
            _save_configuration(directory, config, list(hydra_config.overrides.task))
            session = _session(checked, directory, hydra_config)
            _tasks()[checked.task.name](checked, session)
    except Interrupted as stop:
        log.warning("stopped by %s%s", stop, f"; continue with: {again}" if _has_checkpoints(directory) else "")
        sys.exit(128 + stop.number)
    except Exception as error:
        if session is not None:
            _record_failure(session, error)
        problem = storage_problem(error, directory)
        if problem is not None:
            then = f" Then continue with: {again}" if _has_checkpoints(directory) else ""
            raise UserError(f"{problem}. Make room, or make it writable.{then}") from error
        if _says_it_all(error):
            raise UserError(str(error)) from error
        raise
    log.info("everything is in %s\nlook at it: tensorboard --logdir %s", directory, directory)


def _tasks() -> dict[str, Any]:
    from lipnet.tasks import TASKS

    return TASKS


def _save_configuration(directory: Path, config: DictConfig, overrides: list[str]) -> None:
    """Once more what Hydra writes, so that no crash leaves a run without the overrides that ``resume=`` reads."""
    from lipnet.training.files import write_text

    for name, content in (("config", config), ("overrides", OmegaConf.create(overrides))):
        write_text(directory / ".hydra" / f"{name}.yaml", OmegaConf.to_yaml(content))


def _session(config: Config, directory: Path, hydra_config: HydraConf) -> Session:
    from lipnet.tasks.session import Session
    from lipnet.training.seeding import choose_device, start_clean

    choices = {
        group: option for group, option in hydra_config.runtime.choices.items() if group in (*GROUPS, "experiment")
    }
    start_clean(config.seed, config.threads)
    return Session(directory, choose_device(config.device), choices, list(hydra_config.overrides.task), config)


def _record_failure(session: Session, error: Exception) -> None:
    from lipnet.results.record import write_results

    with contextlib.suppress(OSError):  # the failure itself may be that nothing can be written
        failure = {"status": "failed", "error": f"{type(error).__name__}: {error}"}
        write_results(session.directory, session.header | failure)


def _says_it_all(error: Exception) -> bool:
    from lipnet.layers import OrthogonalizationError
    from lipnet.tasks.attacking import CertificateViolation

    return isinstance(error, OrthogonalizationError | CertificateViolation)


def _has_checkpoints(directory: Path) -> bool:
    return (directory / "checkpoints").is_dir()


def _is_complete(directory: Path) -> bool:
    results = directory / "results.json"
    return results.is_file() and json.loads(results.read_text()).get("status") == "completed"


def _program() -> list[str]:
    return ["python", "train.py"] if Path(sys.argv[0]).name == "train.py" else ["lipnet"]


@hydra.main(version_base="1.3", config_path=str(commandline.config_dir()), config_name="config")
def _hydra_main(config: DictConfig) -> None:
    run(config)


def main() -> None:
    """The console script ``lipnet``: the same program as ``train.py``, from any directory."""
    commandline.main_arguments()
    _hydra_main()
