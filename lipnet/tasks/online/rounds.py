"""Round by round: predict, reveal, charge, learn; every round written down, every minute a checkpoint, exact resume."""

import itertools
import logging
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from lipnet.data.streams import Observation, Source
from lipnet.errors import CertificateViolation, UserError, reason_of
from lipnet.options.config import Config
from lipnet.options.models import Experts
from lipnet.options.option import Named, of_kind
from lipnet.options.readers import resume_keys
from lipnet.options.tasks import Online
from lipnet.randomness import stream
from lipnet.runs import checkpoint
from lipnet.runs.commands import on_run
from lipnet.runs.load import refuse_changes
from lipnet.runs.machine import versions
from lipnet.runs.recorded import saved_config
from lipnet.tasks.online import journal
from lipnet.tasks.online.baselines import Baseline, make_baselines
from lipnet.tasks.online.journal import Journal, exact
from lipnet.tasks.online.predictor import Prediction, Predictor, regression_loss
from lipnet.tasks.online.sensitivity import attacked_sensitivity, certified_sensitivity
from lipnet.tasks.session import Session
from lipnet.training.interrupt import Interrupted, StopRequest
from lipnet.training.tracker import Tracker

log = logging.getLogger("lipnet")

_CHECKPOINT_SECONDS = 60.0
_ROUNDING = 1e-9  # of sums over rounds, relative to them


class Rounds:
    """The rounds of a run.

    Attributes:
        done: how many predictions have been made and charged.
        totals: sums over them, and over all attempts of the run: losses by name, sensitivities, seconds, gaps.
        predictor: made with the first observation, which says how many numbers there are in one.
    """

    predictor: Predictor | None = None

    def __init__(self, session: Session, source: Source) -> None:
        self.session, self.config, self.source = session, session.config, source
        self.option = of_kind(self.config.task, Online)
        self.names = of_kind(self.config.model, Experts).names
        self.loss = regression_loss(self.config)
        self.path = session.directory / "stream.csv"
        folder = session.directory / "checkpoints"
        self.last, self.previous = folder / "last.pt", folder / "previous.pt"
        self.done = 0
        self.totals: dict[str, float] = dict.fromkeys(_TOTALS, 0.0)
        self.network: Predictor | None = None
        self.baselines: dict[str, Baseline] = {}
        self._pending: list[tuple[float, ...]] = []  # outcomes that came in after the checkpoint, and will not again
        self._clock = time.perf_counter()

    @property
    def started(self) -> Predictor:
        """The predictor, of a run that has seen something."""
        assert self.predictor is not None
        return self.predictor

    @property
    def dimension(self) -> int:
        return self.started.experts.dimension

    def restore(self) -> None:
        """Goes on from the last checkpoint, and from what ``stream.csv`` holds beyond it where it cannot come again.

        Raises:
            UserError: it is not of this run, or cannot be read.
        """
        saved, position = self._saved(), 0
        if saved is not None:
            refuse_changes(saved_config(saved), self.config, resume_keys(), f"resume={self.session.directory}")
            position = saved["position"]
        if not self.source.again:
            for row in journal.rows(self.path, position):
                self._pending.append(_outcome(row))
        dimension = None if saved is None else saved["dimension"]
        if dimension is not None:
            self._begin(dimension, position, saved)
            log.info("continuing after round %d", self.done)

    def _saved(self) -> dict[str, Any] | None:
        problems = []
        for path in (self.last, self.previous):
            if path.exists():
                try:
                    saved = checkpoint.load(path)
                    checkpoint.require(
                        saved, path, config=dict, predictor=dict, totals=dict, dimension=int, position=int, done=int
                    )
                except UserError as error:
                    problems.append(str(error))
                    continue
                if problems:
                    log.warning("%s Falling back to %s, after round %d.", " ".join(problems), path, saved["done"])
                return saved
        if problems:
            raise UserError(f"{self.last.parent}: no checkpoint to continue from; {' '.join(problems)}")
        return None

    def _begin(self, dimension: int, position: int = 0, saved: dict[str, Any] | None = None) -> None:
        """Makes everything that depends on how many numbers an observation has."""
        config, device = self.config, self.session.device
        self.predictor = Predictor(config, dimension, device)
        if "network" in self.option.baselines:
            self.network = Predictor(unconstrained(config), dimension, device)
        self.baselines = make_baselines(config, dimension, self.predictor.memory)
        if saved is not None:
            try:
                self.predictor.load_state_dict(saved["predictor"])
                if self.network is not None:
                    self.network.load_state_dict(saved["network"])
                self.totals = {name: saved["totals"][name] for name in self.totals | saved["totals"]}
                self.done = saved["done"]
            except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
                reason = reason_of(error)
                raise UserError(f"{self.last}: its state does not fit this run ({reason}).") from error
        self.journal = Journal(self.path, self._columns(dimension), position, replayed=bool(self._pending))
        if saved is not None and self.baselines:
            for row in journal.rows(self.path, end=position):
                self._teach(torch.tensor(_outcome(row), dtype=torch.float64))

    def _columns(self, dimension: int) -> list[str]:
        return [
            "round",
            *_numbered("outcome", dimension),
            *_numbered("prediction", dimension),
            *_COLUMNS,
            *(f"loss_{name}" for name in self.option.baselines),
            *(f"loss_{name}" for name in self.names),
            *(f"weight_{name}" for name in self.names),
        ]

    def run(self, tracker: Tracker) -> None:
        """To the last round, or to the end of the stream.

        Raises:
            Interrupted: after SIGINT or SIGTERM, with everything saved.
            UserError: the experts diverged, the stream ended before the first prediction, or nobody reads replies.
        """
        limit = self.config.stream.rounds
        bar = tqdm(
            total=limit, initial=self.done, unit="round", disable=self._bar_hidden, mininterval=0.5, dynamic_ncols=True
        )
        saved = self._clock = time.perf_counter()
        with bar, logging_redirect_tqdm(), StopRequest() as stop:
            self._save()
            coming = self._coming()
            while self.done != limit and (come := next(coming, None)) is not None:
                observation, answered = come
                first = self.predictor is None
                if observation is not None:
                    before = self.done
                    self._round(observation, answered, tracker)
                    if bar.update(self.done - before) and self.done:
                        bar.set_postfix({"loss": f"{self.totals['loss'] / self.done:.4g}"}, refresh=False)
                if stop.number or first or time.perf_counter() - saved > _CHECKPOINT_SECONDS:
                    self._save()
                    saved = time.perf_counter()
                if stop.number:
                    raise Interrupted(stop.number)
        if not self.done:
            seen = 0 if self.predictor is None else self.predictor.seen
            raise UserError(
                f"dataset={self.config.dataset.name}: ended after {seen} observations, and "
                f"dataset.warmup={self.config.stream.warmup} of them come before the first prediction."
            )
        self._save()
        if not is_reported(self.done):
            self._report(tracker)

    @property
    def _bar_hidden(self) -> bool | None:
        return True if self.source.replies and self.config.progress == "auto" else self.config.bars_hidden

    def _coming(self) -> Iterator[tuple[Observation | None, bool]]:
        """What is still to come, each with whether it came before and was answered then."""
        for values in self._pending:
            yield Observation(values), True
        seen = self.predictor.seen if self.predictor is not None and self.source.again else 0
        for observation in itertools.islice(self.source.observations(), seen, None):
            yield observation, False

    def _round(self, observation: Observation, answered: bool, tracker: Tracker) -> None:
        if not observation.outcome:
            self.totals["gaps"] += 1
        else:
            if self.predictor is None:
                self._begin(len(observation.outcome))
            outcome = torch.tensor(observation.outcome, dtype=torch.float64)
            if self.started.ready:
                self._charge(outcome, observation)
            else:
                self._note_warmup(observation)
            self.started.learn(outcome)
            self._teach(outcome)
            if self.network is not None:
                self.network.learn(outcome)
            self._check_regret()
            if self.started.aggregation.rounds and is_reported(self.done):
                self._report(tracker)
        if self.source.replies and not answered:
            self._reply()

    def _charge(self, outcome: Tensor, observation: Observation) -> None:
        """Charges every prediction, all of which were made before, and writes the row of the round."""
        predictor = self.started
        prediction = predictor.predict()
        loss, of_experts = float(self.loss(prediction.value, outcome)), self.loss(prediction.of_experts, outcome)
        best = observation.best
        optimal = None if best is None else float(self.loss(torch.tensor(best, dtype=torch.float64), outcome))
        compared = {name: float(self.loss(said, outcome)) for name, said in self._said().items()}
        self.done += 1
        certified = certified_sensitivity(predictor, self.option.radius)
        attacked = self._attack(certified)
        self._add(
            {"loss": loss, "recent": loss, "recent_rounds": 1.0, "certified": certified, "optimal": optimal or 0.0}
        )
        self._add({f"loss_{name}": value for name, value in compared.items()})
        self.totals["certified_largest"] = max(self.totals["certified_largest"], certified)
        self.journal.write([
            self.done, *map(exact, observation.outcome), *prediction.value.tolist(), loss, optimal, certified, attacked,
            *(compared[name] for name in self.option.baselines), *of_experts.tolist(), *prediction.weights.tolist(),
        ])  # fmt: skip

    def _note_warmup(self, observation: Observation) -> None:
        """A row without a prediction; the last of them is round 0."""
        number = self.started.seen + 1 - self.config.stream.warmup
        columns = len(self._columns(self.dimension))
        self.journal.write([number, *map(exact, observation.outcome), *[None] * (columns - 1 - self.dimension)])

    def _said(self) -> dict[str, Tensor]:
        found = {name: baseline.predict() for name, baseline in self.baselines.items()}
        if self.network is not None:
            found["network"] = self.network.predict().value
        return found

    def _teach(self, outcome: Tensor) -> None:
        for baseline in self.baselines.values():
            baseline.learn(outcome)

    def _attack(self, certified: float) -> float | None:
        every = self.option.attack_every
        if not every or self.done % every:
            return None
        random = stream(self.config.seed, "attack on a prediction", self.done)
        attacked = attacked_sensitivity(self.started, self.option.radius, random)
        if attacked > certified:
            raise CertificateViolation(
                f"round {self.done}: an error of norm {self.option.radius} in the observations moves the prediction by "
                f"{attacked!r}, and at most {certified!r} is certified. This is an error in lipnet; please report it "
                "with the run directory."
            )
        self._add({"attacks": 1.0})
        self.totals["attacked_largest"] = max(self.totals["attacked_largest"], attacked)
        self.totals["largest_share"] = max(self.totals["largest_share"], attacked / certified)
        return attacked

    def _check_regret(self) -> None:
        bound = self.started.regret_bound()
        if bound is not None and self.done and self.regret > bound + _ROUNDING * (1 + self.totals["loss"]):
            raise CertificateViolation(
                f"round {self.done}: the regret {self.regret!r} exceeds its proved bound {bound!r}. This is an error "
                "in lipnet; please report it with the run directory."
            )

    @property
    def expert_totals(self) -> Tensor:
        """Each expert's loss so far, in the stream's units."""
        return self.started.aggregation.losses * self.started.unit

    @property
    def regret(self) -> float:
        """What the losses so far exceed those of the best expert by."""
        return self.totals["loss"] - float(self.expert_totals.min())

    def _add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + value

    def _reply(self) -> None:
        """The prediction of what comes next on standard output; before there is one, the last value."""
        predictor = self.predictor
        if predictor is None:
            text = "nan"
        elif predictor.ready:
            text = _line(predictor.predict())
        else:
            text = " ".join(f"{value:.9g}" for value in predictor.window.last(1)[0].tolist())
        try:
            print(text, flush=True)
        except BrokenPipeError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing fails once more at the exit
            self._save()
            raise UserError(
                f"standard output: nobody reads the predictions any more. All of {self.done} rounds are saved; go on "
                f"with: {on_run('resume', self.session.directory)}"
            ) from error

    def _report(self, tracker: Tracker) -> None:
        """A row of ``metrics.csv``, and a point of each curve."""
        predictor, totals, done = self.started, self.totals, self.done
        metrics = {
            "loss/average": totals["loss"] / done,
            "loss/recent": totals["recent"] / max(totals["recent_rounds"], 1),
            "loss/best_expert": float(self.expert_totals.min()) / done,
            "regret/regret": self.regret,
            "sensitivity/certified_mean": totals["certified"] / done,
            "sensitivity/attacked_largest": totals["attacked_largest"],
        }
        bound, optimal = predictor.regret_bound(), self.source.optimal_loss
        if bound is not None:
            metrics["regret/bound"] = bound
        if optimal is not None:
            metrics["loss/optimal"] = optimal
            metrics["loss/optimal_prediction"] = totals["optimal"] / done
        metrics |= {f"baselines/{name}": totals[f"loss_{name}"] / done for name in self.option.baselines}
        for name, weight in zip(self.names, predictor.aggregation.weights().tolist(), strict=True):
            metrics[f"weights/{name}"] = weight
        for name, value in zip(self.names, self.local_constants(), strict=True):
            metrics[f"local_constants/{name}"] = value
        totals["recent"] = totals["recent_rounds"] = 0.0
        tracker.epoch(done, metrics)

    def local_constants(self) -> list[float]:
        """Of each expert; 0 before there is anything to measure them at."""
        predictor = self.started
        return predictor.local_constants() if len(predictor.window) > predictor.memory else [0.0] * len(self.names)

    def _save(self) -> None:
        if self.predictor is None:
            return
        now = time.perf_counter()
        self.totals["seconds"] += now - self._clock
        self._clock = now
        self.journal.sync()
        content: dict[str, Any] = {
            "predictor": self.predictor.state_dict(),
            "dimension": self.dimension,
            "totals": dict(self.totals),
            "done": self.done,
            "position": self.journal.position,
            "config": asdict(self.config),
            "choices": self.session.choices,
            "versions": versions(),
        }
        if self.network is not None:
            content["network"] = self.network.state_dict()
        checkpoint.save(self.last, content, previous=self.previous)

    def close(self) -> None:
        if self.predictor is not None:
            self.journal.close()


_TOTALS = (
    "loss", "optimal", "recent", "recent_rounds", "certified", "certified_largest", "attacks", "attacked_largest",
    "largest_share", "gaps", "seconds",
)  # fmt: skip
_COLUMNS = ("loss", "optimal_loss", "sensitivity", "attacked")  # of stream.csv, after the prediction


def is_reported(done: int) -> bool:
    """Every 50 rounds; beyond 10,000 twice as many for each doubling, so that reports stay few."""
    step = 50 * 2 ** max(0, math.floor(math.log2(max(done, 1) / 5_000)))
    return done % step == 0


def unconstrained(config: Config) -> Config:
    """The same without constants: a plain network for each memory, and no grid over budgets."""
    model = replace(of_kind(config.model, Experts), budgets=[1.0])
    task = replace(of_kind(config.task, Online), penalty=0.0)
    return replace(config, model=model, linear=Named("plain"), task=task)


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}_{place}" for place in range(count)]


def _outcome(row: dict[str, str]) -> tuple[float, ...]:
    return tuple(float(text) for name, text in row.items() if name == "outcome" or name.startswith("outcome_"))


def _line(prediction: Prediction) -> str:
    return " ".join(f"{value:.9g}" for value in prediction.value.tolist())
