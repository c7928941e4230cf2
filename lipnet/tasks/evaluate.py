"""A finished run, evaluated again: with other radii, attacks or precision, or with other evaluation samples."""

import logging

from lipnet.cli.saved import EVALUATION_KEYS
from lipnet.data.images import load_splits
from lipnet.data.pairs import load_pair
from lipnet.models.summary import count_parameters
from lipnet.options.config import Config
from lipnet.options.pairs import Pair
from lipnet.runs.load import load_run, refuse_changes, refuse_gan
from lipnet.tasks.results import Start
from lipnet.tasks.robustness import task as robustness
from lipnet.tasks.session import Session
from lipnet.tasks.wasserstein import task as wasserstein
from lipnet.training import distributed
from lipnet.training.tracker import open_tracker

log = logging.getLogger("lipnet")


def evaluate(config: Config, session: Session) -> robustness.Results | wasserstein.Results:
    """Evaluates the network in ``config.run``; the command line has been completed with that run's own overrides."""
    run = distributed.from_main(lambda: load_run(str(config.run)))
    refuse_gan(run.config, str(config.run))
    refuse_changes(run.config, config, EVALUATION_KEYS, f"task=evaluate run={config.run}")
    log.info("evaluating %s, weights of epoch %d", config.run, run.epoch)
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
        model = run.model.to(session.device)
        if isinstance(config.dataset, Pair):
            pair = distributed.first_of_machine_first(lambda: load_pair(config.dataset))
            tracker.hyperparameters(config, wasserstein.compared_metrics(pair), session.typed_keys)
            return wasserstein.evaluate(model, pair, config, session, tracker, start)
        tracker.hyperparameters(config, robustness.compared_metrics(config), session.typed_keys)
        test = distributed.first_of_machine_first(lambda: load_splits(config.images, config.seed)).test
        return robustness.evaluate(model, test.to(session.device), config, session, tracker, start)
    finally:
        tracker.close()
