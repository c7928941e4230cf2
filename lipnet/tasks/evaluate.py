"""A finished run, evaluated again: with other radii, attacks or precision, or with other evaluation samples."""

import logging

from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.bound import output_shape
from lipnet.errors import UserError
from lipnet.export.torch_program import read_module
from lipnet.models.own import begin_with_weights
from lipnet.models.summary import count_parameters
from lipnet.options.facts import inputs_and_outputs, trainer
from lipnet.options.readers import evaluation_keys
from lipnet.options.registry import load
from lipnet.runs.load import load_run, new_model, refuse_changes
from lipnet.tasks.driver import refuse_unproved, report
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
    if config.run is None:
        return _evaluate_own(session)
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


def _evaluate_own(session: Session) -> Start:
    """Evaluates a network of the user's own code and weights, without training it."""
    config = session.config
    model = new_model(config).eval()
    begin_with_weights(model, config)
    trained = trainer(config.task.name, None, config.model.name, config.dataset.name)
    assert trained is not None, "the checks allow no such data set"
    task = trained.load()(session)
    model = _readable(model, inputs_and_outputs(config.dataset)[0])
    refuse_unproved(task, model)
    log.info("evaluating %s of %s", config.model.name, session.config.model)
    tracker = open_tracker(session.directory)
    try:
        start: Start = {
            **session.header,
            "run": None,
            "parameters": count_parameters(model),
            "epochs": None,
            "best_epoch": 0,
            "train_seconds": None,
            "samples_per_second": None,
            "validation": None,
        }
        tracker.hyperparameters(config, task.compared, session.typed_keys)
        found: Start = report(task, model.to(session.device), start, tracker)
        return found
    finally:
        tracker.close()


def _readable(model: nn.Sequential, shape: tuple[int, ...]) -> nn.Sequential:
    """The network, or where a module of it has code without a rule the graph of what that computes.

    Raises:
        UserError: nothing is proved of it either way; the message names the module, and the node.
    """
    try:
        lipschitz_bound(model, shape)
    except TypeError as error:
        own = model[-1]
        before = nn.Sequential(*model[:-1])
        try:
            graph = read_module(own, output_shape(before, shape) if len(before) else shape)
        except UserError as node:
            raise UserError(f"{error}. Nor can it be read as a graph: {node}") from None
        log.info("%s has no rule of its own: it is read as a graph of %d nodes", type(own).__name__, len(graph.nodes))
        return nn.Sequential(*model[:-1], graph.eval())
    return model
