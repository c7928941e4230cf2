"""What tasks that train have in common: from a configuration to a trained network and its evaluation."""

import dataclasses
import logging
import math
from collections.abc import Callable
from typing import TypeVar

from torch import nn

from lipnet.certify import singular_values
from lipnet.certify.rules.linear import LINEAR_LAYERS
from lipnet.certify.walk import walk
from lipnet.cli.saved import RESUME_KEYS
from lipnet.models import summarize
from lipnet.models.summary import count_parameters
from lipnet.options.config import Config
from lipnet.options.facts import inputs_and_outputs
from lipnet.runs import checkpoint
from lipnet.runs.files import read_csv, remove_parts
from lipnet.runs.load import load_run, new_model, refuse_changes
from lipnet.runs.machine import versions
from lipnet.runs.recorded import saved_config
from lipnet.tasks.results import ByRadius, Start
from lipnet.tasks.session import Session
from lipnet.training import distributed
from lipnet.training.loop import Loop
from lipnet.training.protocols import Batches, Objective
from lipnet.training.tracker import Tracker, open_tracker

log = logging.getLogger("lipnet")

Results = TypeVar("Results", bound=Start)


def train_and_evaluate(
    config: Config,
    session: Session,
    batches: Batches,
    objective: Callable[[Tracker], Objective],
    evaluate: Callable[[nn.Module, Tracker, Start], Results],
    metrics: list[str],
    rates: dict[str, float] | None = None,
    prepare: Callable[[nn.Module], None] = lambda model: None,
) -> Results:
    """Trains (or continues) the configuration's network and evaluates its best epoch.

    Args:
        batches: the training batches, on the session's device.
        objective: ``tracker -> objective``.
        evaluate: ``(best network, tracker, what is known before) -> results``; it writes them.
        metrics: tags that ``evaluate`` will write, for the HPARAMS page.
        rates: child module -> what multiplies the learning rate for its parameters.
        prepare: changes a fresh network in place, where its start depends on data.
    """
    model = new_model(config).eval()
    prepare(model)
    summary = summarize(model, inputs_and_outputs(config.dataset)[0])
    log.info("%s on %s, %d training examples an epoch\n%s", config.model.name, session.device, len(batches), summary)
    if len(batches) < config.batch_size:
        log.info("batch_size=%d: an epoch is one step of all %d examples", config.batch_size, len(batches))
    facts = {"config": dataclasses.asdict(config), "choices": session.choices, "versions": versions()}
    loop = Loop(model.to(session.device), batches, config, session.directory, facts, rates or {})
    if distributed.is_main():
        remove_parts(session.directory)
    _restore(loop)
    tracker = open_tracker(session.directory, loop.progress.epoch)
    try:
        if tracker.fresh:
            tracker.hyperparameters(config, metrics, session.typed_keys)
            tracker.text("network", summary, 0)
        loop.run(objective(tracker), tracker)
        start: Start = {
            **session.header,
            "run": None,
            "parameters": count_parameters(model),
            "epochs": loop.progress.epoch,
            "best_epoch": loop.progress.best_epoch,
            "train_seconds": loop.progress.seconds,
            "samples_per_second": loop.progress.epoch * len(batches) / loop.progress.seconds,
            "validation": distributed.from_main(lambda: _validation(session, loop.progress.best_epoch)),
        }
        best = distributed.from_main(lambda: load_run(session.directory).model)
        results = evaluate(best.to(session.device), tracker, start)
        if distributed.is_main():
            loop.previous.unlink(missing_ok=True)  # a complete run is not continued
        return results
    finally:
        tracker.close()


def _validation(session: Session, epoch: int) -> dict[str, float | ByRadius] | None:
    """What was measured on held-out examples at the chosen epoch, keyed as the test split's figures are."""
    rows = read_csv(session.directory / "metrics.csv")
    row = next((row for row in rows if row["epoch"] == str(epoch)), {})  # none where a damaged table began anew
    figures = {
        key.removeprefix("validation_"): float(value)
        for key, value in row.items()
        if key.startswith("validation_") and math.isfinite(float(value))
    }
    found: dict[str, float | ByRadius] = {name: value for name, value in figures.items() if "@" not in name}
    for name in ("certified_accuracy", "certified_accuracy_per_pair"):
        by_radius: ByRadius = {}
        for radius in session.config.eval_radii or ():
            tag = f"{name}@{radius.replace('/', '_')}"
            if tag in figures:
                by_radius[radius] = figures[tag]
        if by_radius:
            found[name] = by_radius
    return found or None


def track_singular_values(model: nn.Module, config: Config, epoch: int, tracker: Tracker) -> None:
    """A histogram for each layer with weights, every ``config.singular_values_every`` epochs."""
    if not config.singular_values_every or epoch % config.singular_values_every or not distributed.is_main():
        return
    shape: tuple[int, ...] = inputs_and_outputs(config.dataset)[0]
    for layer in walk(model, shape):
        if isinstance(layer.module, LINEAR_LAYERS):
            values = singular_values(layer.module, layer.input_shape)
            tracker.singular_values(f"{layer.name}_{type(layer.module).__name__}", values, epoch)


def _restore(loop: Loop) -> None:
    saved = loop.saved()
    if saved is not None:
        checkpoint.require(saved, loop.last, config=dict)
        refuse_changes(saved_config(saved), loop.config, RESUME_KEYS, f"resume={loop.directory}")
        loop.continue_from(saved)
        log.info("continuing after epoch %d, batch %d", loop.progress.epoch, loop.progress.batch)
