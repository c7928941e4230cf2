"""The program: from the command line to a finished run. Torch is imported only once a run starts."""

import contextlib
import dataclasses
import gc
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lipnet.cli.arguments import main_arguments
from lipnet.cli.composing import composing_once, given_config_dir, listed_groups
from lipnet.cli.debug import apply_debug
from lipnet.cli.ending import fail
from lipnet.cli.sweeps.job import run_job
from lipnet.display.terminal import take_everything
from lipnet.errors import UserError
from lipnet.options.config import Config
from lipnet.options.facts import found_keys, trained_on, with_found
from lipnet.options.folder import config_dir
from lipnet.options.models import ShuffleNet
from lipnet.options.parse import parse
from lipnet.options.plugins import named_plugins, used_plugins
from lipnet.options.registry import GROUPS
from lipnet.options.streams import Live
from lipnet.runs import commands, names
from lipnet.runs.commands import on_run
from lipnet.runs.files import read_results
from lipnet.runs.latest import link_latest
from lipnet.runs.lock import Busy, alone_in
from lipnet.training import processes
from lipnet.training.memory import keep_memory

log = logging.getLogger("lipnet")


OmegaConf.register_new_resolver("lipnet.run_dir", names.run_dir, use_cache=True, replace=True)
OmegaConf.register_new_resolver("lipnet.trained_on", trained_on, replace=True)
OmegaConf.register_new_resolver("lipnet.output_subdir", names.output_subdir, replace=True)
OmegaConf.register_new_resolver("lipnet.kind", lambda *, _root_: names.kind(_root_), replace=True)
OmegaConf.register_new_resolver("lipnet.label", lambda *, _root_: names.run_label(_root_), replace=True)
OmegaConf.register_new_resolver("lipnet.job_name", lambda *keys, _root_: names.job_name(_root_, *keys), replace=True)
OmegaConf.register_new_resolver("lipnet.groups", listed_groups, replace=True)


def run(config: DictConfig) -> float | None:
    """One run of a composed configuration. A user's mistake or a failed run ends with exit code 1.

    Returns:
        in a sweep with an objective, its value.
    """
    hydra_config = HydraConfig.get()
    commands.given_config_dir = given_config_dir(hydra_config)
    commands.given_plugins = tuple(named_plugins(config))
    _write_all_of_the_log()
    os.chdir(hydra_config.runtime.cwd)  # under hydra.job.chdir=true too, a path is meant where it was typed
    sweep = hydra_config.mode == RunMode.MULTIRUN
    shown = hydra_config.sweep.dir if sweep else hydra_config.runtime.output_dir
    link_latest(Path(shown), Path(hydra_config.runtime.cwd) / "outputs")
    if sweep:
        return run_job(config, hydra_config, _run)
    try:
        with _alone(Path(hydra_config.runtime.output_dir)):
            _run(parse(config), config, hydra_config)
    except Busy as busy:
        fail(UserError(f"{busy}; wait for its end, or stop it."))
    except UserError as error:
        fail(error)
    except _Followed:
        sys.exit(1)
    return None


def _write_all_of_the_log() -> None:
    """Hydra opens log files in the encoding of the terminal, which may be ASCII."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler) and isinstance(handler.stream, io.TextIOWrapper):
            handler.stream.reconfigure(encoding="utf-8", errors="surrogateescape")


def _log_to_stderr() -> None:
    """Where standard output is for predictions alone."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)


def _alone(directory: Path) -> contextlib.AbstractContextManager[None]:
    """The run directory for this run alone; of processes that share a run, the first holds it."""
    return alone_in(directory) if processes.rank() == 0 else contextlib.nullcontext()


class _Followed(Exception):
    """Another process of this run failed, and has said why."""


def _run(config: Config, composed: DictConfig, hydra_config: HydraConf) -> None:
    from lipnet.training.interrupt import Interrupted, StopRequest

    directory = Path(hydra_config.runtime.output_dir)
    try:
        with StopRequest(at_once=True):
            _run_in(config, composed, hydra_config, directory)
    except Interrupted as stop:
        log.warning("stopped by %s%s", stop, _continuation(directory, "; continue with: "))
        sys.exit(128 + stop.number)


def _run_in(config: Config, composed: DictConfig, hydra_config: HydraConf, directory: Path) -> None:
    keep_memory()
    from lipnet.cli.closing import closing_lines
    from lipnet.errors import CertificateViolation
    from lipnet.layers import OrthogonalizationError
    from lipnet.runs.storage import silent_writers, storage_problem
    from lipnet.tasks.driver import carry_out
    from lipnet.tasks.results import write_failure
    from lipnet.tasks.session import Session
    from lipnet.training import distributed
    from lipnet.training.notices import log_notices
    from lipnet.training.seeding import choose_device, start_clean

    if distributed.size() > 1:
        _check_shared(config, distributed.size())
    if not distributed.is_main():
        config = dataclasses.replace(config, progress="off")
    if distributed.from_main(lambda: read_results(directory).get("status") == "completed"):
        if distributed.is_main():  # printed, since the log is in that directory, which stays as it is
            again = on_run("run", directory, "task=evaluate")
            print(f"{directory} is complete: nothing to continue; to evaluate it again: {again}", flush=True)
        distributed.finish()
        return
    if distributed.is_main():
        (directory / "results.json").unlink(missing_ok=True)  # of an attempt that failed
    if isinstance(config.dataset, Live):
        _log_to_stderr()
    choices = {
        group: option for group, option in hydra_config.runtime.choices.items() if group in (*GROUPS, "experiment")
    }
    config = dataclasses.replace(apply_debug(config), plugins=used_plugins(config))
    config = dataclasses.replace(config, dataset=with_found(config.dataset))
    start_clean(config.seed, config.threads)
    log_notices(config.threads)
    try:
        device = distributed.own_device(choose_device(config.device))
    except UserError as error:  # the run has a directory already, which says why nothing else is in it
        write_failure(directory, {"overrides": list(hydra_config.overrides.task)}, str(error))
        raise
    session = Session(directory, device, choices, list(hydra_config.overrides.task), config)
    try:
        with silent_writers():
            if distributed.is_main():
                found = {f"dataset.{key}": getattr(config.dataset, key) for key in found_keys(config.dataset)}
                _save_configuration(directory, _with(composed, plugins=config.plugins, **found), session.overrides)
            carry_out(session)
    except Exception as error:
        distributed.outlive_the_others()
        if not distributed.first_to_fail():
            raise _Followed from error
        if distributed.is_lost_connection(error):
            error = UserError(f"another process of this run has ended; continue with: {on_run('resume', directory)}")
        with contextlib.suppress(OSError):  # the failure itself may be that nothing can be written
            untold = "what it says may tell of training examples: it was printed, and is not kept"
            told = untold if GROUPS["task"][config.task.name].private else error
            write_failure(directory, session.header, f"{type(error).__name__}: {told}")
        if problem := storage_problem(error, directory):
            then = _continuation(directory, ", then continue with: ")
            raise UserError(f"{problem}. Make room, or make it writable{then}") from error
        if isinstance(error, OrthogonalizationError | CertificateViolation):  # their messages say it all
            raise UserError(str(error)) from error
        raise error
    log.info("%s", closing_lines(directory, config.task.name))
    if config.bell and distributed.is_main():
        sys.stderr.write("\a")
    distributed.finish()


def _with(composed: DictConfig, **values: Any) -> DictConfig:
    """A copy of the composed configuration with other values of some keys."""
    changed = composed.copy()
    OmegaConf.set_readonly(changed, False)
    for key, value in values.items():
        OmegaConf.update(changed, key, value)
    return changed


def _save_configuration(directory: Path, config: DictConfig, overrides: list[str]) -> None:
    """Once more what Hydra writes, so that no crash leaves a run without the overrides that ``resume=`` reads."""
    from lipnet.runs.files import write_text

    for name, content in (("config", config), ("overrides", OmegaConf.create(overrides))):
        write_text(directory / ".hydra" / f"{name}.yaml", OmegaConf.to_yaml(content))


def _continuation(directory: Path, introduction: str) -> str:
    """The command that goes on from the run's checkpoints; nothing where there are none."""
    found = (directory / "checkpoints").is_dir()
    return f"{introduction}{on_run('resume', directory)}" if found else ""


def _check_shared(config: Config, processes: int) -> None:
    problems, task = [], GROUPS["task"][config.task.name]
    if not task.shared:
        problems.append(f"task={config.task.name}: runs in one process; start it without torchrun.")
    elif task.trains and isinstance(config.model, ShuffleNet):
        problems.append(
            f"model={config.model.name}: normalises over a batch, of which each process has a share; start it without "
            "torchrun."
        )
    if task.trains and getattr(config.model, "centering", False):
        problems.append(
            "model.centering=true: subtracts means of batches, of which each process has a share; start it without "
            "torchrun."
        )
    if config.batch_size < processes:
        problems.append(f"batch_size={config.batch_size}: shared by {processes} processes; use at least {processes}.")
    if problems:
        raise UserError(*problems)


@hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")
def _hydra_main(config: DictConfig) -> float | None:
    return run(config)


def main() -> None:
    """The console script ``lipnet``: the same program as ``train.py``, from any directory."""
    launch(_hydra_main)


def launch(program: Callable[[], Any]) -> None:
    """Runs a program of Hydra's on ``sys.argv``, once that holds no mistake."""
    # What importing torch makes stays: to go through all of it again and again was an eighth of a start.
    gc.set_threshold(*gc.get_threshold()[:2], 100)
    take_everything()
    with composing_once():
        sweep = main_arguments()
        if sweep is None:
            program()
        else:
            sweep.run(program)
