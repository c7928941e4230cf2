"""The training loop: epochs, schedule, progress bar, checkpoints, exact resume. It knows no task."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from lipnet.errors import UserError
from lipnet.layers import OrthogonalizationError, recondition
from lipnet.schema import Config
from lipnet.training import checkpoint, distributed, recovery
from lipnet.training.divergence import all_finite, diverged
from lipnet.training.interrupt import Interrupted, StopRequest
from lipnet.training.notices import length_notice
from lipnet.training.profiling import profiled
from lipnet.training.schedules import build_optimizer, learning_rate, parameter_groups
from lipnet.training.tracker import Tracker
from lipnet.training.weights import load_weights

log = logging.getLogger("lipnet")

_CHECKPOINT_SECONDS = 60.0
_RECONDITION_STEPS = 100


class Batches(Protocol):
    """Where training batches come from: a split of a data set, or samplers; its length is an epoch's, in examples."""

    @property
    def device(self) -> torch.device: ...

    def __len__(self) -> int: ...

    def training_batches(
        self, batch_size: int, seed: int, epoch: int, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch, from batch number ``first`` on; it depends on the arguments alone, so that runs can resume."""


class Objective(Protocol):
    """What a task asks of the loop."""

    @property
    def sums(self) -> tuple[str, ...]:
        """Names of what ``step`` counts; an epoch reports sum / examples as ``train/<name>``."""

    def step(self, model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss to descend, and a vector of sums over the batch, one for each name in ``sums``."""

    def validate(self, model: nn.Module, epoch: int) -> tuple[dict[str, float], float, float]:
        """Metrics by tag, the score (higher is better) by which ``best.pt`` is chosen, and the score's standard error.

        Of the epochs within one standard error of the best, the latest is chosen.
        """


@dataclass
class Progress:
    """Where a run stands; with parameters and optimizer state, all that the rest of it depends on."""

    epoch: int = 0  # finished epochs
    batch: int = 0  # finished batches of the present epoch
    totals: Tensor | None = None  # sums over those batches
    best_score: float = -math.inf
    best_epoch: int = 0
    seconds: float = 0.0  # spent in training steps, over all attempts
    epoch_seconds: float = 0.0  # the part of it in the present epoch

    def __post_init__(self) -> None:
        counts, sizes = (self.epoch, self.batch, self.best_epoch), (self.best_score, self.seconds, self.epoch_seconds)
        right = all(type(count) is int and count >= 0 for count in counts) and all(
            type(size) is float for size in sizes
        )
        if not right or not isinstance(self.totals, Tensor | None):
            raise ValueError(f"no progress of a run: {vars(self)}")


@dataclass
class Loop:
    """Trains ``model`` on ``split``; every epoch is validated, tracked and saved.

    Attributes:
        directory: the run directory; ``checkpoints/last.pt``, ``previous.pt`` (the one before it) and ``best.pt``
            appear in it.
        facts: plain data saved in every checkpoint (the configuration, the choices, versions).
        rates: child module -> what multiplies the learning rate for its parameters; 1 for all others.
    """

    model: nn.Module
    split: Batches
    config: Config
    directory: Path
    facts: dict[str, Any]
    rates: dict[str, float] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.last, self.previous, self.best = (
            self.directory / "checkpoints" / f"{name}.pt" for name in ("last", "previous", "best")
        )
        self.eager = distributed.parallel(self.model)
        self.trained = _compiled(self.eager) if self.config.compile else self.eager
        self.optimizer = build_optimizer(self.config.optimizer, parameter_groups(self.model, self.rates))
        self.batches = math.ceil(len(self.split) / self.config.batch_size)
        steps = self.config.epochs * self.batches
        self.rate = learning_rate(self.config.scheduler, self.config.optimizer.lr, steps, self.batches)

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
        checkpoint.require(saved, self.last, optimizer=dict, rng=Tensor)
        load_weights(self.model, saved["model"], str(self.last))
        try:
            self.optimizer.load_state_dict(saved["optimizer"])
            self.progress = Progress(**saved["progress"])
            torch.set_rng_state(saved["rng"])
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self.last}: its state does not fit this run ({reason}).") from error

    def run(self, objective: Objective, tracker: Tracker) -> None:
        """Trains to the last epoch.

        Raises:
            Interrupted: after SIGINT or SIGTERM, with everything saved.
            UserError: training diverged; ``last.pt`` holds the last state that had not.
        """
        total = self.config.epochs * self.batches
        done = self.progress.epoch * self.batches + self.progress.batch
        bar = tqdm(
            total=total,
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
                bar.set_postfix(figures | {objective.sums[0]: f"{float(totals[0]) / seen:.3f}"}, refresh=False)

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
                figures |= _short(metrics)
                bar.set_postfix(figures, refresh=False)
                (number,) = distributed.largest(stop.number or 0)
                if number:  # asked for during validation; everything is saved
                    raise Interrupted(int(number))

    def _epoch(self, objective: Objective, stop: StopRequest, advance: Callable[[Tensor], None]) -> None:
        self.model.train()
        progress = self.progress
        if progress.totals is None:
            progress.totals = torch.zeros(len(objective.sums), dtype=torch.float64)
        totals = _of_main(progress.totals).to(self.split.device)
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
                totals = _of_main(progress.totals).to(totals.device)
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
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.config.amp == "bf16"):
            loss, sums = objective.step(self.trained, images, labels)
        self.optimizer.zero_grad()
        (weight * loss).backward()
        self.optimizer.step()
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
        metrics["optimizer/learning_rate"] = self.optimizer.param_groups[0]["lr"]
        metrics["time/seconds"] = progress.epoch_seconds
        metrics["time/samples_per_second"] = examples / max(progress.epoch_seconds, 1e-9)
        self.model.eval()
        validated, score, error = objective.validate(self.model, progress.epoch + 1)
        metrics |= validated
        progress.epoch, progress.batch, progress.totals, progress.epoch_seconds = progress.epoch + 1, 0, None, 0.0
        if score >= progress.best_score - error or not progress.best_epoch:  # with a score of NaN, the first epoch
            progress.best_score, progress.best_epoch = max(score, progress.best_score), progress.epoch
            self._save(self.best)
        tracker.epoch(progress.epoch, metrics)
        self._save(self.last)
        log.info("epoch %d/%d  %s", progress.epoch, self.config.epochs, _line(metrics))
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
        checkpoint.save(
            path,
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "progress": vars(self.progress).copy(),
                "rng": torch.get_rng_state(),
                **self.facts,
            },
            previous=self.previous if path == self.last else None,
        )


def _of_main(totals: Tensor) -> Tensor:
    """Sums over all processes as what each goes on from: the first has them, the others nothing."""
    return totals if distributed.is_main() else torch.zeros_like(totals)


_BAR_TAGS = ("train/loss", "validation/clean_accuracy", "validation/estimate")


def _compiled(model: nn.Module) -> Callable:
    """The model, compiled at its first call.

    Raises:
        UserError: at that call, where the machine cannot compile.
    """
    from torch._dynamo.exc import TorchDynamoException  # two seconds that only this switch should cost

    torch.compiler.reset()  # jobs of a sweep share a process, and its limit of recompilations
    compiled = torch.compile(model)

    def call(images: Tensor) -> Tensor:
        try:
            return compiled(images)
        except TorchDynamoException as error:
            reason = " ".join(str(error).split("\n\n")[0].split())
            raise UserError(f"compile=true: torch cannot compile here ({reason}); use compile=false.") from error

    log.info("compiling the network: the first step takes up to a minute")
    return call


def _short(metrics: dict[str, float]) -> dict[str, str]:
    """The few figures that fit beside a progress bar: loss, clean and certified accuracy (the last radius)."""
    certified = [tag for tag in metrics if tag.startswith("validation/certified_accuracy")]
    tags = [tag for tag in (*_BAR_TAGS, *certified[-1:]) if tag in metrics]
    return {tag.partition("/")[2].partition("_")[0]: f"{metrics[tag]:.3f}" for tag in tags}


def _line(metrics: dict[str, float]) -> str:
    """An epoch on one line of the log, losses and accuracies first by part: ``train loss 0.1 clean 0.97 | ...``."""
    parts: dict[str, list[str]] = {}
    for tag, value in metrics.items():
        group, name = tag.split("/")
        if group in ("train", "validation"):
            parts.setdefault(group, []).append(f"{name.replace('_accuracy', '')} {value:.4f}")
    speed = f"{metrics['time/seconds']:.1f} s, {metrics['time/samples_per_second']:.0f} samples/s"
    return " | ".join([*(f"{group} {' '.join(figures)}" for group, figures in parts.items()), speed])
