"""A finished run, evaluated again: with other radii, attacks or precision, or with other evaluation samples."""

import logging

from lipnet.models.summary import count_parameters
from lipnet.options.readers import evaluation_keys
from lipnet.options.registry import load
from lipnet.runs.load import load_run, refuse_changes
from lipnet.tasks.driver import report
from lipnet.tasks.results import Start
from lipnet.tasks.session import Session
from lipnet.training import distributed
from lipnet.training.tracker import open_tracker

log = logging.getLogger("lipnet")


def evaluate(session: Session) -> Start:
    """Evaluates the network in ``run=DIR`` as the task that trained it does.

    The command line has been completed with that run's own overrides.
    """
    config = session.config
    run = distributed.from_main(lambda: load_run(str(config.run)))
    refuse_changes(run.config, config, evaluation_keys(), f"task=evaluate run={config.run}")
    log.info("evaluating %s, weights of epoch %d", config.run, run.epoch)
    task = load("task", run.config.task.name)(session)
    tracker = open_tracker(session.directory)
    try:
        start: Start = {
            **session.header,
            "run": str(config.run),
            "parameters": count_parameters(run.model),
            "epochs": None,
            "best_epoch": run.epoch,
            "train_seconds": None,
            "samples_per_second": None,
            "validation": None,
        }
        tracker.hyperparameters(config, task.compared, session.typed_keys)
        found: Start = report(task, run.model.to(session.device), start, tracker)
        return found
    finally:
        tracker.close()
