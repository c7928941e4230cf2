"""The program: from the command line to a finished run. Torch is imported only once a run starts."""

import datetime
import logging
import os
import secrets
import time

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lipnet import commandline
from lipnet.config import parse
from lipnet.errors import UserError

log = logging.getLogger("lipnet")


def _run_dir(resume: str | None, parent: str) -> str:
    """A directory of its own for every run, even for two that start in the same second; ``resume`` keeps its own."""
    if resume not in (None, "", "null"):
        return str(resume)
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return f"{parent}/{now}_{secrets.token_hex(3)}"


OmegaConf.register_new_resolver("lipnet.run_dir", _run_dir, use_cache=True, replace=True)


def run(config: DictConfig) -> float | None:
    """One run of a composed configuration; returns the task's headline figure, for Hydra's sweepers."""
    hydra_config = HydraConfig.get()
    try:
        from lipnet.tasks import run_task

        started = time.time()
        result = run_task(parse(config), hydra_config)
        log.info("finished in %.0f s", time.time() - started)
        return result
    except UserError as error:
        if hydra_config.mode == RunMode.MULTIRUN:  # the other jobs of the sweep go on
            raise CompactHydraException(str(error)) from error
        commandline.fail(error)
        return None


@hydra.main(version_base="1.3", config_path=str(commandline.config_dir()), config_name="config")
def _hydra_main(config: DictConfig) -> float | None:
    return run(config)


def main() -> None:
    """The console script ``lipnet``: the same program as ``train.py``, from any directory."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "0")
    commandline.main_arguments()
    _hydra_main()
