"""The program: from the command line to a finished run. Torch is imported only once a run starts."""

import contextlib
import dataclasses
import datetime
import json
import logging
import secrets
import shlex
import sys
from pathlib import Path

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lipnet import commandline
from lipnet.config import parse
from lipnet.data.facts import trained_on
from lipnet.debug import apply_debug
from lipnet.errors import UserError
from lipnet.schema import GROUPS, Config

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
OmegaConf.register_new_resolver("lipnet.trained_on", trained_on, replace=True)
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
    except _Followed:
        sys.exit(1)


class _Followed(Exception):
    """Another process of this run failed, and has said why."""


def _run(config: DictConfig, hydra_config: HydraConf) -> None:
    from lipnet.training.interrupt import Interrupted, StopRequest

    directory = Path(hydra_config.runtime.output_dir)
    try:
        with StopRequest(at_once=True):
            _carry_out(parse(config), config, hydra_config, directory)
    except Interrupted as stop:
        log.warning("stopped by %s%s", stop, _continuation(directory, "; continue with: "))
        sys.exit(128 + stop.number)


def _carry_out(config: Config, composed: DictConfig, hydra_config: HydraConf, directory: Path) -> None:
    from lipnet.layers import OrthogonalizationError
    from lipnet.results.closing import closing_lines
    from lipnet.results.record import write_results
    from lipnet.tasks import DISTRIBUTED, TASKS
    from lipnet.tasks.attacking import CertificateViolation
    from lipnet.tasks.session import Session
    from lipnet.training import distributed
    from lipnet.training.notices import log_notices
    from lipnet.training.seeding import choose_device, start_clean
    from lipnet.training.storage import silent_writers, storage_problem

    if distributed.size() > 1:
        _check_shared(config, distributed.size(), DISTRIBUTED)
    if not distributed.is_main():
        config = dataclasses.replace(config, progress="off")
    if distributed.from_main(lambda: _is_complete(directory)):
        distributed.finish()
        log.info("%s is complete: nothing to continue; task=evaluate run=%s evaluates it again", directory, directory)
        return
    choices = {
        group: option for group, option in hydra_config.runtime.choices.items() if group in (*GROUPS, "experiment")
    }
    config = apply_debug(config)
    start_clean(config.seed, config.threads)
    log_notices(config.threads)
    device = distributed.own_device(choose_device(config.device))
    session = Session(directory, device, choices, list(hydra_config.overrides.task), config)
    try:
        with silent_writers():
            if distributed.is_main():
                _save_configuration(directory, composed, session.overrides)
            TASKS[config.task.name](config, session)
    except Exception as error:
        distributed.outlive_the_others()
        if not distributed.first_to_fail():
            raise _Followed from error
        if distributed.is_lost_connection(error):
            error = UserError(f"another process of this run has ended; {_program()} resume={directory} goes on.")
        failure = {"status": "failed", "error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(OSError):  # the failure itself may be that nothing can be written
            write_results(directory, session.header | failure)
        if problem := storage_problem(error, directory):
            then = _continuation(directory, ", then continue with: ")
            raise UserError(f"{problem}. Make room, or make it writable{then}") from error
        if isinstance(error, OrthogonalizationError | CertificateViolation):  # their messages say it all
            raise UserError(str(error)) from error
        raise error
    log.info("%s", closing_lines(directory, _program(), config.task.name))
    if config.bell and distributed.is_main():
        sys.stderr.write("\a")
    distributed.finish()


def _save_configuration(directory: Path, config: DictConfig, overrides: list[str]) -> None:
    """Once more what Hydra writes, so that no crash leaves a run without the overrides that ``resume=`` reads."""
    from lipnet.training.files import write_text

    for name, content in (("config", config), ("overrides", OmegaConf.create(overrides))):
        write_text(directory / ".hydra" / f"{name}.yaml", OmegaConf.to_yaml(content))


def _continuation(directory: Path, introduction: str) -> str:
    """The command that goes on from the run's checkpoints; nothing where there are none."""
    found = (directory / "checkpoints").is_dir()
    return f"{introduction}{_program()} {shlex.quote(f'resume={directory}')}" if found else ""


def _is_complete(directory: Path) -> bool:
    results = directory / "results.json"
    return results.is_file() and json.loads(results.read_text()).get("status") == "completed"


def _check_shared(config: Config, processes: int, tasks: tuple[str, ...]) -> None:
    problems = []
    if config.task.name not in tasks:
        problems.append(f"task={config.task.name}: runs in one process; start it without torchrun.")
    if config.batch_size < processes:
        problems.append(f"batch_size={config.batch_size}: shared by {processes} processes; use at least {processes}.")
    if problems:
        raise UserError(*problems)


def _program() -> str:
    from lipnet.training import distributed

    in_checkout = Path(sys.argv[0]).name == "train.py"
    if distributed.size() > 1:
        return f"torchrun --nproc_per_node={distributed.size()} {'train.py' if in_checkout else '-m lipnet'}"
    return "python train.py" if in_checkout else "lipnet"


@hydra.main(version_base="1.3", config_path=str(commandline.config_dir()), config_name="config")
def _hydra_main(config: DictConfig) -> None:
    run(config)


def main() -> None:
    """The console script ``lipnet``: the same program as ``train.py``, from any directory."""
    commandline.main_arguments()
    _hydra_main()
