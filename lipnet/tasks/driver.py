"""From a session to a trained network and its evaluation: what every task that trains has in common."""

import dataclasses
import logging
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify import lipschitz_bound, rounding_bound, singular_values
from lipnet.certify.plain import hardened, to_plain
from lipnet.certify.rules.linear import LINEAR_LAYERS
from lipnet.certify.walk import walk
from lipnet.errors import UserError
from lipnet.models import summarize
from lipnet.models.own import begin_with_weights
from lipnet.models.summary import count_parameters
from lipnet.options.config import Config
from lipnet.options.facts import inputs_and_outputs
from lipnet.options.readers import resume_keys
from lipnet.options.registry import load
from lipnet.runs import checkpoint
from lipnet.runs.files import read_csv, remove_parts
from lipnet.runs.load import load_run, new_model, refuse_changes
from lipnet.runs.machine import versions
from lipnet.runs.record import write_results
from lipnet.runs.recorded import saved_config
from lipnet.runs.storage import dispensable
from lipnet.tasks.activations import linear_regions
from lipnet.tasks.per_example import FIGURE, TABLE, show_gradients
from lipnet.tasks.results import ByRadius, Start
from lipnet.tasks.session import Session
from lipnet.tasks.task import Evaluated, Own, Results, Task
from lipnet.training import distributed
from lipnet.training.loop import Loop
from lipnet.training.protocols import Validation
from lipnet.training.tracker import Tracker, open_tracker

log = logging.getLogger("lipnet")


def carry_out(session: Session) -> None:
    """Does what the session's task is: trains a network and evaluates it, or reads a finished run."""
    made = load("task", session.config.task.name)(session)
    if isinstance(made, Own):
        made.carry_out()
    elif isinstance(made, Task):
        fit(made, session)


def fit(task: Task[Results], session: Session) -> Results:
    """Trains (or continues) the configuration's network and evaluates its best epoch."""
    config, batches = session.config, task.batches()
    model = new_model(config).eval()
    begin_with_weights(model, config)
    task.prepare(model)
    refuse_unproved(task, model)
    summary = summarize(model, inputs_and_outputs(config.dataset)[0])
    log.info("%s on %s, %d training examples an epoch\n%s", config.model.name, session.device, len(batches), summary)
    if len(batches) < config.batch_size:
        log.info("batch_size=%d: an epoch is one step of all %d examples", config.batch_size, len(batches))
    facts = {"config": dataclasses.asdict(config), "choices": session.choices, "versions": versions()}
    loop = Loop(model.to(session.device), batches, config, session.directory, facts, task.rates, task.update)
    if distributed.is_main():
        remove_parts(session.directory)
    _restore(task, loop)
    tracker = open_tracker(session.directory, loop.progress.epoch)
    try:
        if tracker.fresh:
            tracker.hyperparameters(config, task.compared, session.typed_keys)
            tracker.text("network", summary, 0)
            tracker.layout(task.charts)
        loop.run(Tracked(task, tracker), tracker)
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
        if distributed.is_main():
            loop.close()  # before the results say that the run is complete
        return report(task, best.to(session.device), start, tracker)
    finally:
        tracker.close()


def refuse_unproved(task: Task[Any], model: nn.Module) -> None:
    """A network of somebody's own modules is refused before it is trained if nothing could be proved of it.

    Raises:
        UserError: naming the module without a rule, or without a rounding step, and what to register.
    """
    proved = task.proved(hardened(model)) if task.config.plugins else None
    if proved is not None:
        shape = inputs_and_outputs(task.config.dataset)[0]
        try:
            lipschitz_bound(proved, shape)
            rounding_bound(to_plain(proved), shape, torch.float64)
        except TypeError as error:
            raise UserError(f"{error}.") from error


def report(task: Evaluated[Results], model: nn.Module, start: Start, tracker: Tracker) -> Results:
    """Evaluates a trained network; writes ``results.json``, last, and whatever shows them."""
    results = task.evaluate(hardened(model), start)
    if distributed.is_main():
        task.show(results, tracker)
        write_results(task.session.directory, results)
    return results


class Tracked:
    """A task as the loop's objective: what it validates is the network that would be deployed, and is tracked."""

    def __init__(self, task: Task[Any], tracker: Tracker) -> None:
        self.task, self.tracker, self.sums = task, tracker, task.sums

    def begin_step(self, share: float) -> None:
        self.task.begin_step(share)

    def step(self, model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return self.task.step(model, images, labels)

    @torch.no_grad()
    def validate(self, model: nn.Module, epoch: int) -> Validation:
        network = hardened(model)
        proved = self.task.proved(network)
        if proved is not None:
            track_singular_values(proved, self.task.config, epoch, self.tracker)
        track_gradients(self.task, network, epoch, self.tracker)
        found = self.task.validate(network, epoch)
        return dataclasses.replace(found, metrics=found.metrics | linear_regions(network))


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
    for name in dict.fromkeys(tag.partition("@")[0] for tag in figures if "@" in tag):
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


def track_gradients(task: Task[Any], model: nn.Module, epoch: int, tracker: Tracker) -> None:
    """Norms of single examples' gradients, every ``diagnostics.every`` epochs and after the last one."""
    asked, directory = task.config.diagnostics, task.session.directory
    due = epoch % asked.every == 0 or epoch == task.config.epochs
    if not asked.per_example or not due or not distributed.is_main():
        return
    with dispensable(f"{TABLE}, {FIGURE}", directory):
        probe = task.probe(model, asked.examples)
        if probe is not None:
            proved = task.proved(model)
            bound = None if proved is None else lipschitz_bound(proved, tuple(probe.inputs.shape[1:]))
            show_gradients(probe, bound, directory, tracker, epoch)


def _restore(task: Task[Any], loop: Loop) -> None:
    saved = loop.saved()
    if saved is not None:
        checkpoint.require(saved, loop.last, config=dict)
        refuse_changes(saved_config(saved), loop.config, resume_keys(), f"resume={loop.directory}")
        task.same_data()
        loop.continue_from(saved)
        log.info("continuing after epoch %d, batch %d", loop.progress.epoch, loop.progress.batch)
