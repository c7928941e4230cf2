"""The training loop: epochs, schedule, progress bar, checkpoints, exact resume. It knows no task."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from lipnet.errors import UserError, reason_of
from lipnet.layers import OrthogonalizationError, recondition
from lipnet.layers.training import diagnostics, stepped
from lipnet.options.config import Config
from lipnet.runs import checkpoint, recovery
from lipnet.runs.weights import load_weights
from lipnet.training import distributed
from lipnet.training.compiled import compiled_network
from lipnet.training.divergence import all_finite, diverged
from lipnet.training.interrupt import Interrupted, StopRequest
from lipnet.training.lines import epoch_line, short_figures
from lipnet.training.notices import length_notice
from lipnet.training.profiling import profiled
from lipnet.training.progress import Progress, sums_of_main
from lipnet.training.protocols import Batches, Objective
from lipnet.training.schedules import build_optimizer, learning_rate, parameter_groups
from lipnet.training.tracker import Tracker
from lipnet.training.update import MakesUpdate, PlainUpdate

log = logging.getLogger("lipnet")

_CHECKPOINT_SECONDS = 60.0
_RECONDITION_STEPS = 100


@dataclass
class Loop:
    """Trains ``model`` on ``split``; every epoch is validated, tracked and saved.

    Attributes:
        directory: the run directory; ``checkpoints/last.pt``, ``previous.pt`` (the one before it) and ``best.pt``
            appear in it.
        facts: plain data saved in every checkpoint (the configuration, the choices, versions).
        rates: child module -> what multiplies the learning rate for its parameters; 1 for all others.
        kind: what an update is made by.
    """

    model: nn.Module
    split: Batches
    config: Config
    directory: Path
    facts: dict[str, Any]
    rates: dict[str, float] = field(default_factory=dict)
    kind: MakesUpdate = PlainUpdate
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.last, self.previous, self.best = (
            self.directory / "checkpoints" / f"{name}.pt" for name in ("last", "previous", "best")
        )
        self.eager = distributed.parallel(self.model)
        self.trained = compiled_network(self.eager) if self.config.compile else self.eager
        self.optimizer = build_optimizer(self.config.optimizer, parameter_groups(self.model, self.rates))
        self.update = self.kind(self.model, self.optimizer, self.config)
        self.stepped = stepped(self.model)
        self.batches = math.ceil(len(self.split) / self.config.batch_size)
        self.steps = self.config.epochs * self.batches
        self.rate = learning_rate(self.config.scheduler, self.config.optimizer.lr, self.steps, self.batches)

    def saved(self) -> dict[str, Any] | None:
        """The checkpoint that an earlier attempt left: ``last.pt``, or where that is damaged ``previous.pt``."""
        return distributed.from_main(lambda: recovery.newest(self.last, self.previous, self.best))

    def restore(self) -> None:
        """Continues from what is saved, if anything; the rest of the run is then as if it had never stopped."""
        saved = self.saved()
        if saved is not None:
            self.continue_from(saved)

    def continue_from(self, saved: dict[str, Any]) -> None:
        """Takes over the state of a checkpoint.

        Raises:
            UserError: it is not of this run.
        """
        saved = {"update": {}, **saved}  # which none has that needs no state
        checkpoint.require(saved, self.last, optimizer=dict, rng=Tensor, update=dict)
        load_weights(self.model, saved["model"], str(self.last))
        try:
            self.optimizer.load_state_dict(saved["optimizer"])
            self.update.load_state_dict(saved["update"])
            self.progress = Progress(**saved["progress"])
            torch.set_rng_state(saved["rng"])
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            reason = reason_of(error)
            raise UserError(f"{self.last}: its state does not fit this run ({reason}).") from error

    def run(self, objective: Objective, tracker: Tracker) -> None:
        """Trains to the last epoch.

        Raises:
            Interrupted: after SIGINT or SIGTERM, with everything saved.
            UserError: training diverged; ``last.pt`` holds the last state that had not.
        """
        done = self.progress.epoch * self.batches + self.progress.batch
        bar = tqdm(
            total=self.steps,
            initial=done,
            unit="batch",
            disable=self.config.bars_hidden,
            mininterval=0.5,
            dynamic_ncols=True,
        )
        figures: dict[str, str] = {}

        def advance(totals: Tensor) -> None:
            trace_step()
            if bar.update() and distributed.size() == 1:  # drawn twice a second; to look at the loss more often costs
                seen = min(self.progress.batch * self.config.batch_size, len(self.split))
                first = {name: f"{float(totals[0]) / seen:.3f}" for name in objective.sums[:1]}
                bar.set_postfix(figures | first, refresh=False)

        trace = profiled(self.directory, self.config.profile and distributed.is_main())
        with bar, logging_redirect_tqdm(), StopRequest() as stop, trace as trace_step:
            self._save(self.last)
            while self.progress.epoch < self.config.epochs:
                bar.set_description(f"epoch {self.progress.epoch + 1}/{self.config.epochs}", refresh=False)
                try:
                    self._epoch(objective, stop, advance)
                except OrthogonalizationError as error:
                    raise diverged(self, objective) from error
                metrics = self._finish_epoch(objective, tracker)
                figures |= short_figures(metrics)
                bar.set_postfix(figures, refresh=False)
                (number,) = distributed.largest(stop.number or 0)
                if number:  # asked for during validation; everything is saved
                    raise Interrupted(int(number))

    def close(self) -> None:
        """Of a complete run, which is not continued: leaves nothing of the update's state, which may be secret."""
        self.previous.unlink(missing_ok=True)
        if not self.update.state_dict():
            return
        for path in (self.last, self.best):
            saved = checkpoint.load(path)
            saved.pop("update", None)
            checkpoint.save(path, saved)

    def _epoch(self, objective: Objective, stop: StopRequest, advance: Callable[[Tensor], None]) -> None:
        self.model.train()
        progress = self.progress
        if progress.totals is None:
            progress.totals = torch.zeros(len(objective.sums), dtype=torch.float64)
        totals = sums_of_main(progress.totals).to(self.split.device)
        started = saved = time.perf_counter()
        batches = self.split.training_batches(
            self.config.batch_size, self.config.seed, progress.epoch, first=progress.batch
        )
        for inputs, targets in batches:
            totals += self.step(objective, inputs, targets)
            advance(totals)
            now = time.perf_counter()
            number, due = distributed.largest(stop.number or 0, now - saved > _CHECKPOINT_SECONDS)
            if number or due:
                progress.totals, started, saved = distributed.total(totals).cpu(), self._clock(started), now
                totals = sums_of_main(progress.totals).to(totals.device)
                self._check_finite(objective)
                self._save(self.last)
                if number:
                    raise Interrupted(int(number))
        progress.totals = distributed.total(totals).cpu()
        self._clock(started)
        self._check_finite(objective)

    def step(self, objective: Objective, inputs: Tensor, targets: Tensor) -> Tensor:
        """One step of the optimizer; returns the objective's sums over this process's share of the batch, float64."""
        images, labels, weight = distributed.own_share(inputs, targets)
        done = self.progress.epoch * self.batches + self.progress.batch
        self._set_rate(self.rate(done))

        def loss() -> tuple[Tensor, Tensor]:
            with torch.autocast(images.device.type, torch.bfloat16, enabled=self.config.amp == "bf16"):
                mean, sums = objective.step(self.trained, images, labels)
            return weight * mean, sums

        sums = self.update.step(loss)
        for layer in self.stepped:
            layer.end_step((done + 1) / self.steps)
        if (done + 1) % _RECONDITION_STEPS == 0:
            recondition(self.model)
        self.progress.batch += 1
        return sums.double() * (weight > 0)

    def _check_finite(self, objective: Objective) -> None:
        """Before every checkpoint, so that each is a good state, and not at every step, which would wait for it."""
        assert self.progress.totals is not None
        if not all_finite([self.progress.totals, *self.model.state_dict().values()]):
            raise diverged(self, objective)

    def _clock(self, started: float) -> float:
        now = time.perf_counter()
        self.progress.seconds += now - started
        self.progress.epoch_seconds += now - started
        return now

    def _finish_epoch(self, objective: Objective, tracker: Tracker) -> dict[str, float]:
        progress = self.progress
        assert progress.totals is not None
        examples = len(self.split)
        metrics = {
            f"train/{name}": total / examples
            for name, total in zip(objective.sums, progress.totals.tolist(), strict=True)
        }
        metrics |= self.update.metrics() | diagnostics(self.model)
        metrics["optimizer/learning_rate"] = self.optimizer.param_groups[0]["lr"]
        metrics["time/seconds"] = progress.epoch_seconds
        metrics["time/samples_per_second"] = examples / max(progress.epoch_seconds, 1e-9)
        self.model.eval()
        validation = objective.validate(self.model, progress.epoch + 1)
        metrics |= validation.metrics
        progress.epoch, progress.batch, progress.totals, progress.epoch_seconds = progress.epoch + 1, 0, None, 0.0
        score, least = validation.score, progress.best_score - validation.error
        if score >= least or not progress.best_epoch:  # with a score of NaN, the first epoch
            progress.best_score, progress.best_epoch = max(score, progress.best_score), progress.epoch
            self._save(self.best)
        tracker.epoch(progress.epoch, metrics, validation.images)
        self._save(self.last)
        log.info("epoch %d/%d  %s", progress.epoch, self.config.epochs, epoch_line(metrics))
        if progress.epoch == 1:
            left = (self.config.epochs - 1) * metrics["time/seconds"]
            if notice := length_notice(left, self.split.device, torch.get_num_threads()):
                log.warning("%s", notice)
        return metrics

    def _set_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)

    def _save(self, path: Path) -> None:
        if not distributed.is_main():
            return
        state = self.update.state_dict()
        checkpoint.save(
            path,
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                **({"update": state} if state else {}),
                "progress": vars(self.progress).copy(),
                "rng": torch.get_rng_state(),
                **self.facts,
            },
            previous=self.previous if path == self.last else None,
        )
