"""One job of a sweep: skipped where it is completed, else run; its end is recorded, and its failure stays its own."""

import logging
from collections.abc import Callable
from pathlib import Path

from hydra.conf import HydraConf
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from lipnet.cli.ending import fail
from lipnet.cli.sweeps import journal
from lipnet.cli.sweeps.journal import Entry
from lipnet.cli.sweeps.objective import objective
from lipnet.cli.sweeps.sharing import share
from lipnet.errors import UserError
from lipnet.options.config import Config
from lipnet.options.parse import parse
from lipnet.runs.files import read_results
from lipnet.runs.lock import Busy, alone_in
from lipnet.runs.occupied import other_run
from lipnet.tasks.results import write_failure

log = logging.getLogger("lipnet")


def run_job(
    config: DictConfig, hydra_config: HydraConf, run: Callable[[Config, DictConfig, HydraConf], None]
) -> float | None:
    """Runs a job, and returns its objective.

    Raises:
        CompactHydraException: it failed; Hydra goes on with the other jobs and reports the first failure at the end.
        SystemExit: it was stopped, or it failed under ``fail_fast=true``: the sweep ends with it.
    """
    directory, number = Path(hydra_config.runtime.output_dir), int(hydra_config.job.num) + 1
    launch, jobs = journal.launched()
    before = journal.before(directory)

    def record(outcome: str, reason: str = "") -> None:
        entry = Entry(launch, number, str(directory), outcome, before, reason)
        journal.append(Path(hydra_config.sweep.dir), entry)

    log.info("job %d/%d: %s (%s)", number, jobs, directory.name, before)
    try:
        with alone_in(directory):
            checked = share(parse(config), hydra_config.launcher, jobs)
            _check_identity(directory, checked)
            if before == "completed":
                record("skipped")
            else:
                run(checked, config, hydra_config)
                record("completed")
            return objective(read_results(directory), checked.objective) if checked.objective else None
    except Busy as busy:
        record("busy")
        log.warning("%s; this launch leaves it alone", busy)
        return None
    except Exception as error:
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        record("failed", " ".join(reason.split()))
        if before != "completed" and not isinstance(error, _Occupied):
            _write_failure(directory, hydra_config, reason)
        if config.get("fail_fast"):
            fail(UserError(f"job {number}/{jobs} failed: {reason}\nfail_fast=true: the other jobs are not run."))
        raise (CompactHydraException(reason) if isinstance(error, UserError) else error) from error
    except BaseException:  # asked to stop
        record("stopped")
        raise


class _Occupied(UserError):
    """The job's directory is another run's, which stays as it is."""


def _check_identity(directory: Path, config: Config) -> None:
    """A directory named by hand may hold another run: that one is not what was asked for."""
    if found := other_run(directory, config):
        raise _Occupied(f"{directory}: {found}; choose another hydra.sweep.dir.")


def _write_failure(directory: Path, hydra_config: HydraConf, reason: str) -> None:
    """``results.json`` of a job that failed too early to write its own."""
    if reason not in str(read_results(directory).get("error")):
        write_failure(directory, {"overrides": list(hydra_config.overrides.task)}, reason)
