"""The program: from the command line to a finished run. Torch is imported only once a run starts."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lipnet import commandline
from lipnet.config import parse
from lipnet.errors import UserError
from lipnet.schema import GROUPS, Config
from lipnet.sweeps import names
from lipnet.sweeps.job import run_job
from lipnet.sweeps.latest import link_latest
from lipnet.training.files import read_results

log = logging.getLogger("lipnet")


OmegaConf.register_new_resolver("lipnet.run_dir", names.run_dir, use_cache=True, replace=True)
OmegaConf.register_new_resolver("lipnet.method", lambda *, _root_: names.method(_root_), replace=True)
OmegaConf.register_new_resolver("lipnet.label", lambda *, _root_: names.run_label(_root_), replace=True)
OmegaConf.register_new_resolver("lipnet.job_name", lambda *keys, _root_: names.job_name(_root_, *keys), replace=True)
OmegaConf.register_new_resolver("lipnet.groups", commandline.listed_groups, replace=True)


def run(config: DictConfig) -> float | None:
    """One run of a composed configuration. A user's mistake or a failed run ends with exit code 1.

    Returns:
        in a sweep with an objective, its value.
    """
    hydra_config = HydraConfig.get()
    sweep = hydra_config.mode == RunMode.MULTIRUN
    shown = hydra_config.sweep.dir if sweep else hydra_config.runtime.output_dir
    link_latest(Path(shown), Path(hydra_config.runtime.cwd) / "outputs")
    if sweep:
        return run_job(config, hydra_config, _run)
    try:
        _run(parse(config), hydra_config)
    except UserError as error:
        commandline.fail(error)
    return None


def _run(config: Config, hydra_config: HydraConf) -> None:
    from lipnet.layers import OrthogonalizationError
    from lipnet.results.record import write_results
    from lipnet.tasks import TASKS
    from lipnet.tasks.attacking import CertificateViolation
    from lipnet.tasks.session import Session
    from lipnet.training.interrupt import Interrupted, StopRequest
    from lipnet.training.seeding import choose_device, start_clean

    directory = Path(hydra_config.runtime.output_dir)
    if read_results(directory).get("status") == "completed":
        log.info("%s is complete: nothing to continue; task=evaluate run=%s evaluates it again", directory, directory)
        return
    (directory / "results.json").unlink(missing_ok=True)  # of an attempt that failed
    choices = {
        group: option for group, option in hydra_config.runtime.choices.items() if group in (*GROUPS, "experiment")
    }
    start_clean(config.seed, config.threads)
    session = Session(directory, choose_device(config.device), choices, list(hydra_config.overrides.task), config)
    try:
        with StopRequest(at_once=True):
            TASKS[config.task.name](config, session)
    except Interrupted as stop:
        again = f"; continue with: {_program()} resume={directory}" if (directory / "checkpoints").is_dir() else ""
        log.warning("stopped by %s%s", stop, again)
        sys.exit(128 + stop.number)
    except Exception as error:
        write_results(directory, session.header | {"status": "failed", "error": f"{type(error).__name__}: {error}"})
        if isinstance(error, OrthogonalizationError | CertificateViolation):  # their messages say it all
            raise UserError(str(error)) from error
        raise
    log.info("everything is in %s\nlook at it: tensorboard --logdir %s", directory, directory)


def _program() -> str:
    return "python train.py" if Path(sys.argv[0]).name == "train.py" else "lipnet"


@hydra.main(version_base="1.3", config_path=str(commandline.config_dir()), config_name="config")
def _hydra_main(config: DictConfig) -> float | None:
    return run(config)


def main() -> None:
    """The console script ``lipnet``: the same program as ``train.py``, from any directory."""
    launch(_hydra_main)


def launch(program: Callable[[], Any]) -> None:
    """Runs a program of Hydra's on ``sys.argv``, once that holds no mistake."""
    sweep = commandline.main_arguments()
    if sweep is None:
        program()
    else:
        sweep.run(program)
