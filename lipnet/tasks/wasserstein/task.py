"""Wasserstein-1 distance: train a critic on two distributions, then report what it proves about their distance."""

import logging
import time
from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import to_plain
from lipnet.data.pairs import Pair, PairBatches, load_pair
from lipnet.display.fitting import Fitting, log_fitting
from lipnet.layers import Cones
from lipnet.randomness import stream
from lipnet.runs.files import read_csv, write_csv
from lipnet.runs.machine import peak_memory_bytes
from lipnet.runs.storage import dispensable
from lipnet.tasks.activations import FIGURE, show_activations
from lipnet.tasks.per_example import Probe, critic_probe
from lipnet.tasks.results import Start
from lipnet.tasks.task import Charts, Task
from lipnet.tasks.wasserstein.evaluation import Estimation, critic_values, estimate_distance, measure_gap
from lipnet.tasks.wasserstein.figure import wasserstein_figure
from lipnet.tasks.wasserstein.results import Results
from lipnet.tasks.wasserstein.table import wasserstein_table
from lipnet.training import distributed
from lipnet.training.protocols import Batches, Validation
from lipnet.training.tracker import Tracker

log = logging.getLogger("lipnet")

_CHARTS: Charts = {
    "training and validation": {
        "loss": ["Multiline", ["(train|validation)/loss"]],
        "estimate with interval": ["Margin", [f"validation/{name}" for name in ("estimate", "ci_low", "ci_high")]],
        "estimate and truth": ["Multiline", ["validation/(estimate|true_value)"]],
    },
    "certificates": {"lipschitz": ["Multiline", ["lipschitz/.*"]]},
}
_SHOWN = 1000  # samples a side whose way through learned activations is drawn
_KNOWN = ("estimate", "certified_lower_bound", "true_value", "estimate_over_true", "exact_on_sample")


class Wasserstein(Task[Results]):
    """The dual of optimal transport; the estimate on the selection samples chooses the epoch.

    Attributes:
        found: what was found of the evaluated critic.
    """

    sums = ("loss",)
    charts: ClassVar[Charts] = _CHARTS
    found: Estimation

    @cached_property
    def pair(self) -> Pair:
        """The two distributions, by their samplers."""
        return distributed.first_of_machine_first(lambda: load_pair(self.config.dataset))

    @cached_property
    def selection(self) -> tuple[Tensor, Tensor]:
        """The samples of either by which epochs are told apart."""
        count, device = self.config.pair.selection_samples, self.session.device
        first, second = self.pair.samples("selection", count, self.config.seed)
        return first.float().to(device), second.float().to(device)

    @property
    def compared(self) -> list[str]:
        return [f"test/{name}" for name in _KNOWN[: 4 if self.pair.true_value else 2]]

    def batches(self) -> Batches:
        examples = self.config.pair.steps_per_epoch * self.config.batch_size
        return PairBatches(self.pair, examples, self.session.device)

    def prepare(self, model: nn.Module) -> None:
        """Puts the apices of cones at training samples of the distribution that they are for."""
        for layer in model.modules():
            if isinstance(layer, Cones):
                drawn = self.pair.draw("training", layer.cones, stream(self.config.seed, "apices"))
                layer.place(drawn[layer.upward])

    def probe(self, model: nn.Module, count: int) -> Probe | None:
        """The critic at selection samples of both distributions."""
        first, second = self.selection
        return critic_probe(model, torch.cat((first[: (count + 1) // 2], second[: count // 2])))

    def step(self, model: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """One forward pass for both; ``targets`` are 1 for samples of the first and -1 for those of the second."""
        values = model(inputs)[:, 0].to(inputs.dtype)  # under amp=bf16 the loss is float32 all the same
        loss = -2 * (values * targets).mean()
        return loss, (loss.detach() * (len(targets) / 2))[None]

    @torch.no_grad()
    def validate(self, model: nn.Module, epoch: int) -> Validation:
        pair, (first, second) = self.pair, self.selection
        bound = lipschitz_bound(model, first.shape[1:])
        plain = to_plain(model, blocked=False)  # reads each weight once, and not for each batch
        values = critic_values(plain, first), critic_values(plain, second)
        gap = measure_gap(*values, bound, pair.paired, self.config.estimate.confidence)
        metrics = {"lipschitz/upper_bound": bound, "validation/estimate": gap.estimate}
        metrics |= {"validation/ci_low": gap.low, "validation/ci_high": gap.high}
        if pair.true_value is not None:
            metrics["validation/true_value"] = pair.true_value
        return Validation(metrics, gap.estimate)

    def evaluate(self, model: nn.Module, start: Start) -> Results:
        """Estimates the distance from the evaluation samples."""
        started = time.perf_counter()
        found = self.found = estimate_distance(model, self.pair, self.config)
        return {
            **start,
            "status": "completed",
            "wasserstein": found.content(self.pair, self.config),
            "lipschitz_upper_bound": found.lipschitz,
            "lipschitz_lower_bound": found.lower,
            "eval_seconds": time.perf_counter() - started,
            "peak_memory_bytes": peak_memory_bytes(self.session.device),
        }

    def show(self, results: Results, tracker: Tracker) -> None:
        config, directory, found = self.config, self.session.directory, self.found
        step = config.epochs + 1  # one after the last epoch, so that a repeated evaluation replaces what it repeats
        write_csv(directory / "critic_values.csv", found.rows())
        with dispensable("TensorBoard", directory):
            for name in _KNOWN:
                value = results["wasserstein"].get(name)
                if value is not None:
                    tracker.writer.add_scalar(f"test/{name}", value, step)
            tracker.writer.add_scalar("lipschitz/lower_bound", found.lower, step)
            tracker.text("results", wasserstein_table(results), step)
        with dispensable("wasserstein.png", directory):
            title = f"{config.dataset.name}, {config.model.name}"
            rows = read_csv(directory / "metrics.csv")
            figure = wasserstein_figure(found, results["wasserstein"], rows, config.pair.steps_per_epoch, title)
            figure.savefig(directory / "wasserstein.png", dpi=150)
            tracker.figure("test/wasserstein", figure, step)
        with dispensable(FIGURE, directory):
            samples = torch.cat((found.first[:_SHOWN], found.second[:_SHOWN])).to(self.session.device)
            show_activations(found.critic, samples, directory, tracker, step)
        table = Fitting(lambda width: wasserstein_table(results, width))
        log_fitting(log, "evaluation samples, weights of epoch %d\n%s", results["best_epoch"], table)
