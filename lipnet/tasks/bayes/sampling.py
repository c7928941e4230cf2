"""Runs samplers side by side: progress bar, checkpoints, exact continuation. It knows no network."""

import logging
import time
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from lipnet.errors import UserError
from lipnet.options.readers import resume_keys
from lipnet.runs import checkpoint
from lipnet.runs.load import refuse_changes
from lipnet.runs.recorded import saved_config
from lipnet.tasks.bayes.sampler import Sampler, State
from lipnet.tasks.session import Session
from lipnet.training.interrupt import Interrupted, StopRequest
from lipnet.training.tracker import Tracker

log = logging.getLogger("lipnet")

_CHECKPOINT_SECONDS = 60.0
_ROWS = 100  # of metrics.csv


class Sampling:
    """Several posteriors of one session, by name, each sampled by as many iterations.

    Attributes:
        facts: plain data saved in every checkpoint.
        states: of the posteriors; empty before the first iteration.
        done: iterations.
        seconds: spent in iterations, over all attempts.
    """

    def __init__(self, session: Session, samplers: dict[str, Sampler], facts: dict[str, Any]) -> None:
        self.session, self.samplers, self.facts = session, samplers, facts
        folder = session.directory / "checkpoints"
        self.last, self.previous = folder / "last.pt", folder / "previous.pt"
        self.states: dict[str, State] = {}
        self.done = 0
        self.iterations = next(iter(samplers.values())).iterations
        self.seconds = 0.0

    def restore(self) -> None:
        """Continues from what an earlier attempt saved, if anything.

        Raises:
            UserError: there are checkpoints, and none of this run that can be read.
        """
        problems: list[str] = []
        for path in (self.last, self.previous):
            if not path.exists():
                continue
            try:
                saved = checkpoint.load(path)
                checkpoint.require(saved, path, config=dict, progress=dict, states=dict)
                checkpoint.require(saved["progress"], path, done=int, seconds=float)
            except UserError as error:
                problems.append(str(error))
                continue
            if problems:
                log.warning("%s Falling back to %s.", " ".join(problems), path)
            resumed = f"resume={self.session.directory}"
            refuse_changes(saved_config(saved), self.session.config, resume_keys(), resumed)
            self.states, self.done, self.seconds = (
                saved["states"],
                saved["progress"]["done"],
                saved["progress"]["seconds"],
            )
            log.info("continuing after iteration %d of %d", self.done, self.iterations)
            return
        if problems:
            raise UserError(
                f"{self.last.parent}: no checkpoint to continue from; delete it to start anew. {' '.join(problems)}"
            )

    def run(self, tracker: Tracker) -> dict[str, Tensor]:
        """What each sampler leaves.

        Raises:
            Interrupted: after SIGINT or SIGTERM, with everything saved.
            UserError: a sampler diverged.
        """
        bar = tqdm(
            total=self.iterations, initial=self.done, unit="iteration", mininterval=0.5,
            disable=self.session.config.bars_hidden, dynamic_ncols=True,
        )  # fmt: skip
        with bar, logging_redirect_tqdm(), StopRequest() as stop:
            self._sample(tracker, stop, bar)
        return {name: sampler.samples(self.states[name]) for name, sampler in self.samplers.items()}

    def _sample(self, tracker: Tracker, stop: StopRequest, bar: Any) -> None:
        started = saved = time.perf_counter()
        if not self.states:
            self.states = {name: sampler.start() for name, sampler in self.samplers.items()}
        every = max(1, self.iterations // _ROWS)
        while self.done < self.iterations:
            for name, sampler in self.samplers.items():
                sampler.step(self.states[name], self.done)
            self.done += 1
            bar.update()
            ended = self.done == self.iterations
            if self.done % every == 0 or ended:
                self._report(tracker, bar)
            now = time.perf_counter()
            if stop.number is not None or ended or now - saved > _CHECKPOINT_SECONDS:
                self.seconds, started, saved = self.seconds + now - started, now, now
                self._check()
                self.save()
                if stop.number is not None:
                    raise Interrupted(stop.number)

    def _report(self, tracker: Tracker, bar: Any) -> None:
        """A row of the table; chains that diverged are found here too, and not only when they are saved."""
        self._check()
        found: dict[str, float] = {}
        for name, sampler in self.samplers.items():
            found |= {f"{name}/{key}": value for key, value in sampler.report(self.states[name]).items()}
        bar.set_postfix({key: f"{value:.4g}" for key, value in found.items()}, refresh=False)
        tracker.epoch(self.done, found)

    def _check(self) -> None:
        for name, sampler in self.samplers.items():
            problem = sampler.problem(self.states[name], self.done)
            if problem is not None:
                raise UserError(f"inference={sampler.option.name}: after {self.done} iterations {problem}")

    def save(self) -> None:
        """Writes the states, of this moment, with all that they depend on."""
        progress = {"done": self.done, "seconds": self.seconds, "epoch": self.done}
        checkpoint.save(self.last, {"states": self.states, "progress": progress, **self.facts}, previous=self.previous)


def joined(samples: Tensor) -> Tensor:
    """``(chains, draws, size) -> (members, size)``, as float32 holds them: what is evaluated is what is deployed."""
    return samples.flatten(0, 1).to(torch.float32).double()
