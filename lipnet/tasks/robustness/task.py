"""Provable robustness: train with a margin loss, then certify and attack on the test split."""

import logging
import math
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lipnet.certify import (
    certified_radii,
    lipschitz_bound,
    margins,
    pairwise_certified_radii,
    pairwise_lipschitz_bounds,
)
from lipnet.certify.plain import to_plain
from lipnet.certify.radius import model_logits
from lipnet.data.images import Pixels, Split, Splits, load_splits, tell_counts
from lipnet.data.sets.points import AREAS
from lipnet.display.fitting import Fitting, log_fitting
from lipnet.losses import build_loss
from lipnet.losses.demand import pair_constants, per_pair, refuse_pairs
from lipnet.losses.schedule import epsilon_at, scheduled
from lipnet.options.checks import radius_value
from lipnet.options.facts import inputs_and_outputs
from lipnet.options.option import of_kind
from lipnet.options.tasks import FOOLBOX_ATTACKS
from lipnet.options.tasks import Robustness as Option
from lipnet.runs.files import write_csv
from lipnet.runs.machine import peak_memory_bytes
from lipnet.runs.names import method_group
from lipnet.runs.storage import dispensable
from lipnet.tasks.activations import show_activations
from lipnet.tasks.per_example import Function, Probe
from lipnet.tasks.results import ByRadius, Start
from lipnet.tasks.robustness.conformal import Found, calibration_and_measured, evaluate_conformal
from lipnet.tasks.robustness.deployment import accuracy_by_arithmetic, examine, not_tested
from lipnet.tasks.robustness.diagnostics import write_diagnostics
from lipnet.tasks.robustness.evaluation import Certification, certify_and_attack
from lipnet.tasks.robustness.figures import (
    accuracy_against_radius,
    adversarial_examples,
    conformal_sets_against_radius,
)
from lipnet.tasks.robustness.regions import decision_regions
from lipnet.tasks.robustness.results import Asked, Conformal, Results, Sets
from lipnet.tasks.robustness.table import closing_table
from lipnet.tasks.stopwatch import Stopwatch
from lipnet.tasks.task import Charts, Examined, Task
from lipnet.training import distributed
from lipnet.training.protocols import Batches, Validation
from lipnet.training.tracker import Tracker

log = logging.getLogger("lipnet")

_SHOWN = 256  # test images whose way through learned activations is drawn
_CHARTS: Charts = {
    "training and validation": {
        "loss": ["Multiline", ["(train|validation)/loss"]],
        "clean_accuracy": ["Multiline", ["(train|validation|test)/clean_accuracy"]],
    },
    "certificates": {
        "certified_accuracy": ["Multiline", ["(validation|test)/certified_accuracy@.*"]],
        "lipschitz": ["Multiline", ["lipschitz/.*"]],
    },
}


class Robustness(Task[Results]):
    """A margin loss on logits; certified accuracy on the validation split chooses the epoch.

    Attributes:
        network, found, watch: the evaluated network, what was found of it, and what that took.
        trained: the network that is trained.
        sets: the evaluated network's conformal sets, where they are asked for.
        epsilon: the radius that the loss asks for in this step; ``None``: the one at the end of training.
    """

    sums: ClassVar[tuple[str, ...]] = ("loss", "clean_accuracy")
    charts: ClassVar[Charts] = _CHARTS
    network: nn.Module
    found: Certification
    trained: nn.Module | None = None
    sets: Found | None = None
    epsilon: float | None = None

    @cached_property
    def splits(self) -> Splits:
        splits = distributed.first_of_machine_first(lambda: load_splits(self.config.images, self.config.seed))
        self.tell(splits)
        return splits

    def tell(self, splits: Splits) -> None:
        """Says what there is to learn from."""
        tell_counts(splits, self.config.images)

    @cached_property
    def validation(self) -> Split:
        return self.splits.validation.to(self.session.device)

    @cached_property
    def test(self) -> Split:
        return self.splits.test.to(self.session.device)

    @property
    def lipschitz(self) -> float:
        """By which the loss turns radii into margins: constrained layers have constant 1, the normalisation its own."""
        return 1 / min(self.config.images.std)

    @cached_property
    def watch(self) -> Stopwatch:
        return Stopwatch()

    @property
    def compared(self) -> list[str]:
        return ["test/clean_accuracy", *(_tag("test/certified_accuracy", radius) for radius in self.config.eval_radii)]

    def prepare(self, model: nn.Module) -> None:
        self.trained = model
        if self.config.conformal.alpha is not None:
            calibration_and_measured(self.splits, self.config)  # which refuses too few before anything is trained
        if per_pair(self.config.loss):
            refuse_pairs(model, inputs_and_outputs(self.config.dataset)[0], self.lipschitz)

    def begin_step(self, share: float) -> None:
        self.epsilon = epsilon_at(self.config.loss, share)

    def batches(self) -> Batches:
        return self.splits.train.to(self.session.device)

    def not_tested(self) -> Tensor | None:
        return not_tested(self.splits)

    def probe(self, model: nn.Module, count: int) -> Probe | None:
        """The label's logit, and the margin, whose gradient is a difference of two logits'."""
        split, rows = self.validation if len(self.validation) else self.splits.train, slice(count)
        images, labels = (part.to(self.session.device) for part in (split.pixels(rows), split.labels[rows]))
        functions = {
            "logit": Function(lambda logits: logits.gather(1, labels[:, None])[:, 0]),
            "margin": Function(lambda logits: margins(logits, labels), math.sqrt(2)),
        }
        return Probe(model, images, functions)

    def step(self, model: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = model(inputs).to(inputs.dtype)  # under amp=bf16 the loss is float32 all the same
        losses = self.losses(self.trained, logits, targets, self.epsilon)
        with torch.no_grad():
            sums = torch.stack((losses.sum(), (logits.argmax(1) == targets).sum().to(losses.dtype)))
        return losses.mean(), sums

    def losses(self, network: nn.Module | None, logits: Tensor, labels: Tensor, epsilon: float | None) -> Tensor:
        """Of each example, ``(examples,)``.

        Args:
            network: whose rows give pairs of classes their margins, where the loss has such.
            epsilon: the radius; the last one of the schedule without it.
        """
        option = self.config.loss
        radius = epsilon_at(option, 1.0) if epsilon is None else epsilon
        pairs = pair_constants(network, self.lipschitz) if network is not None and per_pair(option) else None
        return build_loss(option, self.lipschitz, radius, pairs)(logits, labels)

    @torch.no_grad()
    def validate(self, model: nn.Module, epoch: int) -> Validation:
        shape, _ = inputs_and_outputs(self.config.dataset)
        bound = lipschitz_bound(model, shape)
        metrics = {"lipschitz/upper_bound": bound}
        if scheduled(self.config.loss):
            metrics["train/radius"] = epsilon_at(self.config.loss, epoch / self.config.epochs)
        if not len(self.validation):
            return Validation(metrics, float(epoch))
        labels = self.validation.labels
        plain = to_plain(model, blocked=False)  # reads each weight once, and not for each batch
        images, rows = Pixels(self.validation), torch.arange(len(labels), device=labels.device)
        logits = distributed.in_parts(lambda numbers: model_logits(plain, images, numbers), rows)
        losses = self.losses(model, logits, labels, None)
        metrics["validation/loss"] = float(losses.mean())
        metrics["validation/clean_accuracy"] = float((logits.argmax(1) == labels).double().mean())
        metrics |= self._certified("certified_accuracy", certified_radii(logits, labels, bound))
        select_by = of_kind(self.config.task, Option).select_by
        if select_by == "certified_accuracy_per_pair":
            constants = pairwise_lipschitz_bounds(model, shape)
            metrics |= self._certified(select_by, pairwise_certified_radii(logits, labels, constants))
        if select_by == "loss":
            error = float(losses.std(correction=0)) / math.sqrt(len(losses))
            return Validation(metrics, -metrics["validation/loss"], error)
        shares = [value for tag, value in metrics.items() if tag.partition("@")[0] == f"validation/{select_by}"]
        share = sum(shares) / len(shares)
        return Validation(metrics, share, math.sqrt(share * (1 - share) / len(labels)))

    def _certified(self, name: str, radii: Tensor) -> dict[str, float]:
        return {
            _tag(f"validation/{name}", written): float((radii > radius_value(written)).double().mean())
            for written in self.config.eval_radii
        }

    def evaluate(self, model: nn.Module, start: Start) -> Results:
        """Certifies and attacks on the test split."""
        started, config, test = time.perf_counter(), self.config, self.test
        self.network = model
        found = self.found = certify_and_attack(model, test, config, self.watch)
        return {
            **start,
            "status": "completed",
            "test_examples": len(test),
            **_margin_asked_for(config.loss, self.lipschitz),
            "clean_accuracy": found.clean_accuracy,
            "certified_accuracy": {
                radius: found.certified_accuracy(radius_value(radius)) for radius in config.eval_radii
            },
            "certified_accuracy_per_pair": {
                radius: found.certified_accuracy_per_pair(radius_value(radius)) for radius in config.eval_radii
            },
            "certify_dtype": config.certify_dtype,
            "certified_accuracy_by_arithmetic": accuracy_by_arithmetic(found, config),
            "rounding_cost": {
                arithmetic: {
                    radius: found.rounding_cost(arithmetic, radius_value(radius)) for radius in config.eval_radii
                }
                for arithmetic in found.deployments
            },
            "attacked_accuracy": {
                name: {radius: attacked.accuracy[radius] for radius in config.eval_radii}
                for name, attacked in found.attacked.items()
            },
            "attacked_accuracy_worst": {
                radius: found.attacked_worst[radius] for radius in config.eval_radii if found.attacked
            },
            "attacked_examples": min(len(test), config.attack.examples or len(test)),
            "foolbox_examples": next(
                (found.attacked[name].examples for name in FOOLBOX_ATTACKS if name in found.attacked), None
            ),
            "attack_seconds": {name: attacked.seconds for name, attacked in found.attacked.items()},
            "median_attack_distance": {
                name: attacked.median_distance
                for name, attacked in found.attacked.items()
                if attacked.median_distance is not None
            },
            "mean_certified_radius": float(found.radii.mean()),
            "mean_certified_radius_per_pair": float(found.radii_per_pair.mean()),
            "lipschitz_upper_bound": found.lipschitz,
            "lipschitz_lower_bound": found.lower,
            "bv2_bound": found.bv2,
            "eval_seconds": time.perf_counter() - started,
            **self._conformal(model),
            "seconds": self.watch.seconds,  # of the parts; those after this one are still to come
            "peak_memory_bytes": peak_memory_bytes(self.session.device),
        }

    def _conformal(self, model: nn.Module) -> Sets:
        if self.config.conformal.alpha is None:
            return {}
        calibration, measured = calibration_and_measured(self.splits, self.config)
        device, config = self.session.device, self.config

        def find() -> Conformal:
            self.sets = evaluate_conformal(model, calibration.to(device), measured.to(device), config)
            return self.sets.results()

        with self.watch.part("conformal"):
            return {"conformal": distributed.from_main(find)}

    def show(self, results: Results, tracker: Tracker) -> None:
        directory, found, watch = self.session.directory, self.found, self.watch
        with watch.part("diagnostics"), dispensable("singular_values.csv, gradient_norms.csv", directory):
            write_diagnostics(directory, self.network, self.test)
        write_csv(directory / "certificates.csv", found.rows())
        step = (
            self.config.epochs + 1
        )  # one after the last epoch, so that a repeated evaluation replaces what it repeats
        with watch.part("figures"), dispensable("figures", directory):
            self._draw(tracker, step)
        with watch.part("figures"), dispensable("TensorBoard", directory):
            _track(found, tracker, results, step)
        table = Fitting(lambda width: closing_table(results, width))
        with dispensable("TensorBoard's table", directory):
            tracker.text("results", closing_table(results), step)
        log_fitting(log, "test split, weights of epoch %d\n%s", results["best_epoch"], table)

    def _draw(self, tracker: Tracker, step: int) -> None:
        config, found = self.config, self.found
        group = method_group(config.model.name)
        names = [config.dataset.name, config.model.name, *([getattr(config, group).name] if group else [])]
        figure = accuracy_against_radius(found, ", ".join(names))
        figure.savefig(self.session.directory / "certified_accuracy.png", dpi=150)
        tracker.figure("test/accuracy_against_radius", figure, step)
        if self.sets is not None:
            figure = conformal_sets_against_radius(
                self.sets, max(map(radius_value, config.eval_radii)), ", ".join(names)
            )
            figure.savefig(self.session.directory / "conformal.png", dpi=150)
            tracker.figure("test/conformal", figure, step)
        if self.config.dataset.name in AREAS:
            self._draw_regions(tracker, step)
        elif found.shown and found.images.dim() == 4:  # vectors are no pictures
            largest = max(config.eval_radii, key=radius_value)
            tracker.figure("test/adversarial_examples", adversarial_examples(found, largest), step)
        show_activations(self.network, self.test.pixels(slice(_SHOWN)), self.session.directory, tracker, step)

    def _draw_regions(self, tracker: Tracker, step: int) -> None:
        figure = decision_regions(self.network, self.config, self.splits.train)
        figure.savefig(self.session.directory / "decision_regions.png", dpi=150)
        tracker.figure("test/decision_regions", figure, step)

    def examine(self, model: nn.Module, network: nn.Module, deployed: nn.Module) -> Examined:
        return examine(network, deployed, self.test, self.config)


def _margin_asked_for(option: Any, lipschitz: float) -> Asked:
    """The radius at the end of training, and the difference of two logits that certifies it by the global constant."""
    if not hasattr(option, "epsilon"):  # a plugin's
        return {}
    epsilon = epsilon_at(option, 1.0)
    return {"loss_epsilon": epsilon, "loss_margin": math.sqrt(2) * epsilon * lipschitz}


def _track(found: Certification, tracker: Tracker, results: Results, step: int) -> None:
    tracker.writer.add_scalar("test/clean_accuracy", results["clean_accuracy"], step)
    for key in ("certified_accuracy", "certified_accuracy_per_pair"):
        for radius, accuracy in results[key].items():
            tracker.writer.add_scalar(_tag(f"test/{key}", radius), accuracy, step)
    for name, accuracies in results["attacked_accuracy"].items():
        for radius, accuracy in accuracies.items():
            tracker.writer.add_scalar(_tag(f"test/{name}_accuracy", radius), accuracy, step)
    if "conformal" in results:
        sets = results["conformal"]
        tables: dict[str, ByRadius] = {"coverage": sets["coverage"], "set_size": sets["set_size"]}
        tables |= {"attacked_coverage": sets.get("attacked_coverage", {})}
        for name, found_at in tables.items():
            for radius, value in found_at.items():
                tracker.writer.add_scalar(_tag(f"conformal/{name}", radius), value, step)
    for name, distance in results["median_attack_distance"].items():
        tracker.writer.add_scalar(f"test/{name}_median_distance", distance, step)
    tracker.writer.add_scalar("lipschitz/lower_bound", found.lower, step)


def _tag(name: str, radius: str) -> str:
    return f"{name}@{radius.replace('/', '_')}"
