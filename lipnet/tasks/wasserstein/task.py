"""Wasserstein-1 distance: train a critic on two distributions, then report what it proves about their distance."""

import logging
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lipnet.certify import lipschitz_bound
from lipnet.data.pairs import Pair, PairBatches, load_pair
from lipnet.data.randomness import stream
from lipnet.display.fitting import Fitting, log_fitting
from lipnet.layers import Cones
from lipnet.options.config import Config
from lipnet.runs.files import read_csv, write_csv
from lipnet.runs.machine import peak_memory_bytes
from lipnet.runs.record import write_results
from lipnet.runs.storage import dispensable
from lipnet.tasks.driver import track_singular_values, train_and_evaluate
from lipnet.tasks.results import Start
from lipnet.tasks.session import Session
from lipnet.tasks.wasserstein.evaluation import Estimation, critic_values, estimate_distance, measure_gap
from lipnet.tasks.wasserstein.figure import wasserstein_figure
from lipnet.tasks.wasserstein.results import Results
from lipnet.tasks.wasserstein.table import wasserstein_table
from lipnet.training import distributed
from lipnet.training.tracker import Tracker

log = logging.getLogger("lipnet")

_CHARTS = {
    "training and validation": {
        "loss": ["Multiline", ["(train|validation)/loss"]],
        "estimate with interval": ["Margin", [f"validation/{name}" for name in ("estimate", "ci_low", "ci_high")]],
        "estimate and truth": ["Multiline", ["validation/(estimate|true_value)"]],
    },
    "certificates": {"lipschitz": ["Multiline", ["lipschitz/.*"]]},
}
_KNOWN = ("estimate", "certified_lower_bound", "true_value", "estimate_over_true", "exact_on_sample")


class Kantorovich:
    """The loop's objective: the dual of optimal transport, and the estimate on the selection samples."""

    sums = ("loss",)

    def __init__(self, config: Config, pair: Pair, device: torch.device, tracker: Tracker) -> None:
        self.config, self.pair, self.tracker = config, pair, tracker
        samples = pair.samples("selection", config.pair.selection_samples, config.seed)
        self.first, self.second = (part.float().to(device) for part in samples)
        if tracker.fresh:
            tracker.layout(_CHARTS)

    def step(self, model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One forward pass for both; ``labels`` are 1 for samples of the first and -1 for those of the second."""
        values = model(images)[:, 0].to(images.dtype)  # under amp=bf16 the loss is float32 all the same
        loss = -2 * (values * labels).mean()
        return loss, (loss.detach() * (len(labels) / 2))[None]

    @torch.no_grad()
    def validate(self, model: nn.Module, epoch: int) -> tuple[dict[str, float], float, float]:
        bound = lipschitz_bound(model, self.first.shape[1:])
        track_singular_values(model, self.config, epoch, self.tracker)
        first, second = critic_values(model, self.first), critic_values(model, self.second)
        gap = measure_gap(first, second, bound, self.pair.paired, self.config.estimate.confidence)
        metrics = {"lipschitz/upper_bound": bound, "validation/estimate": gap.estimate}
        metrics |= {"validation/ci_low": gap.low, "validation/ci_high": gap.high}
        if self.pair.true_value is not None:
            metrics["validation/true_value"] = self.pair.true_value
        return metrics, gap.estimate, 0.0


def train(config: Config, session: Session) -> Results:
    """Trains (or continues) one critic and evaluates it; returns the content of ``results.json``."""
    pair = distributed.first_of_machine_first(lambda: load_pair(config.dataset))
    return train_and_evaluate(
        config,
        session,
        PairBatches(pair, config.pair.steps_per_epoch * config.batch_size, session.device),
        objective=lambda tracker: Kantorovich(config, pair, session.device, tracker),
        evaluate=lambda model, tracker, start: evaluate(model, pair, config, session, tracker, start),
        metrics=compared_metrics(pair),
        prepare=lambda model: place_cones(model, pair, config),
    )


def compared_metrics(pair: Pair) -> list[str]:
    """The tags of the results by which runs are compared, for the HPARAMS page."""
    return [f"test/{name}" for name in _KNOWN[: 4 if pair.true_value else 2]]


def place_cones(model: nn.Module, pair: Pair, config: Config) -> None:
    """Puts the apices of cones at training samples of the distribution that they are for."""
    for layer in model.modules():
        if isinstance(layer, Cones):
            samples = pair.draw("training", layer.cones, stream(config.seed, "apices"))
            layer.place(samples[layer.upward])


def evaluate(model: nn.Module, pair: Pair, config: Config, session: Session, tracker: Tracker, start: Start) -> Results:
    """Estimates the distance from the evaluation samples; writes the table, the figure and ``results.json``."""
    started = time.perf_counter()
    found = estimate_distance(model, pair, config)
    results: Results = {
        **start,
        "status": "completed",
        "wasserstein": found.content(pair, config),
        "lipschitz_upper_bound": found.lipschitz,
        "lipschitz_lower_bound": found.lower,
        "eval_seconds": time.perf_counter() - started,
        "peak_memory_bytes": peak_memory_bytes(session.device),
    }
    if distributed.is_main():
        _write(found, config, session, tracker, results)
        write_results(session.directory, results)
    return results


def _write(found: Estimation, config: Config, session: Session, tracker: Tracker, results: Results) -> None:
    step = config.epochs + 1  # one after the last epoch, so that a repeated evaluation replaces what it repeats
    write_csv(session.directory / "critic_values.csv", found.rows())
    with dispensable("TensorBoard", session.directory):
        for name in _KNOWN:
            value = results["wasserstein"].get(name)
            if value is not None:
                tracker.writer.add_scalar(f"test/{name}", value, step)
        tracker.writer.add_scalar("lipschitz/lower_bound", found.lower, step)
        tracker.text("results", wasserstein_table(results), step)
    with dispensable("wasserstein.png", session.directory):
        title = f"{config.dataset.name}, {config.model.name}"
        rows = read_csv(session.directory / "metrics.csv")
        figure = wasserstein_figure(found, results["wasserstein"], rows, config.pair.steps_per_epoch, title)
        figure.savefig(session.directory / "wasserstein.png", dpi=150)
        tracker.figure("test/wasserstein", figure, step)
    table = Fitting(lambda width: wasserstein_table(results, width))
    log_fitting(log, "evaluation samples, weights of epoch %d\n%s", results["best_epoch"], table)
