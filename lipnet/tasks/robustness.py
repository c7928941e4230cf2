"""Provable robustness: train with a margin loss, then certify and attack on the test split."""

import logging
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify import certified_radii, lipschitz_bound
from lipnet.certify.radius import model_logits
from lipnet.checks import radius_value
from lipnet.data.facts import DATASETS
from lipnet.data.images import Split, load_splits
from lipnet.results.figures import accuracy_against_radius, adversarial_examples
from lipnet.results.record import peak_memory_bytes, write_results
from lipnet.results.table import closing_table
from lipnet.schema import Config
from lipnet.tasks.certification import Certification, certify_and_attack
from lipnet.tasks.losses import build_loss
from lipnet.tasks.session import Session
from lipnet.tasks.training import track_singular_values, train_and_evaluate
from lipnet.training.files import write_csv
from lipnet.training.tracker import Tracker

log = logging.getLogger("lipnet")


class Classification:
    """The loop's objective: a margin loss on logits, and certified accuracy on the validation split."""

    sums = ("loss", "clean_accuracy")

    def __init__(self, config: Config, validation: Split, tracker: Tracker) -> None:
        self.config, self.validation, self.tracker = config, validation, tracker
        # Constrained layers have constant 1; what is left is the normalisation's.
        self.loss = build_loss(config.loss, lipschitz=1 / min(config.dataset.std))

    def step(self, model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = model(images).to(images.dtype)  # under amp=bf16 the loss is float32 all the same
        losses = self.loss(logits, labels)
        with torch.no_grad():
            sums = torch.stack((losses.sum(), (logits.argmax(1) == labels).sum().to(losses.dtype)))
        return losses.mean(), sums

    @torch.no_grad()
    def validate(self, model: nn.Module, epoch: int) -> tuple[dict[str, float], float]:
        bound = lipschitz_bound(model, DATASETS[self.config.dataset.name][0])
        track_singular_values(model, self.config, epoch, self.tracker)
        metrics = {"lipschitz/upper_bound": bound}
        if not len(self.validation):
            return metrics, float(epoch)
        logits, labels = model_logits(model, self.validation.pixels()), self.validation.labels
        radii = certified_radii(logits, labels, bound)
        metrics["validation/loss"] = float(self.loss(logits, labels).mean())
        metrics["validation/clean_accuracy"] = float((logits.argmax(1) == labels).double().mean())
        certified = {
            f"validation/certified_accuracy@{radius.replace('/', '_')}": float(
                (radii > radius_value(radius)).double().mean()
            )
            for radius in self.config.eval_radii
        }
        metrics |= certified
        scores = {
            "certified_accuracy": sum(certified.values()) / len(certified),
            "clean_accuracy": metrics["validation/clean_accuracy"],
            "loss": -metrics["validation/loss"],
        }
        return metrics, scores[self.config.task.select_by]


def train(config: Config, session: Session) -> dict[str, Any]:
    """Trains (or continues) one classifier and evaluates it; returns the content of ``results.json``."""
    splits = load_splits(config.dataset, config.seed)
    validation, test = splits.validation.to(session.device), splits.test.to(session.device)
    return train_and_evaluate(
        config,
        session,
        splits.train.to(session.device),
        objective=lambda tracker: Classification(config, validation, tracker),
        evaluate=lambda model, tracker, results: evaluate(model, test, config, session, tracker, results),
        metrics=["test/clean_accuracy", *_certified_tags(config)],
    )


def evaluate(
    model: nn.Module, test: Split, config: Config, session: Session, tracker: Tracker, results: dict[str, Any]
) -> dict[str, Any]:
    """Certifies and attacks on the test split; writes the table, the figures and ``results.json``."""
    started = time.perf_counter()
    found = certify_and_attack(model, test, config)
    results |= {
        "status": "completed",
        "test_examples": len(test),
        "clean_accuracy": found.clean_accuracy,
        "certified_accuracy": {radius: found.certified_accuracy(radius_value(radius)) for radius in config.eval_radii},
        "attacked_accuracy": {
            name: {radius: accuracies[radius] for radius in config.eval_radii}
            for name, accuracies in found.attacked.items()
        },
        "attacked_examples": min(len(test), config.attack.examples or len(test)),
        "mean_certified_radius": float(found.radii.mean()),
        "lipschitz_upper_bound": found.lipschitz,
        "lipschitz_lower_bound": found.lower,
        "eval_seconds": time.perf_counter() - started,
        "peak_memory_bytes": peak_memory_bytes(session.device),
    }
    _show(found, config, session, tracker, results)
    write_results(session.directory, results)
    return results


def _show(found: Certification, config: Config, session: Session, tracker: Tracker, results: dict[str, Any]) -> None:
    step = config.epochs + 1  # one after the last epoch, so that a repeated evaluation replaces what it repeats
    write_csv(session.directory / "certificates.csv", found.rows())
    title = f"{config.dataset.name}, {config.model.name}, {config.conv.name}"
    figure = accuracy_against_radius(found, title)
    figure.savefig(session.directory / "certified_accuracy.png", dpi=150)
    tracker.writer.add_figure("test/accuracy_against_radius", figure, step)
    largest = max(config.eval_radii, key=radius_value)
    tracker.writer.add_figure("test/adversarial_examples", adversarial_examples(found, largest), step)
    tracker.writer.add_scalar("test/clean_accuracy", results["clean_accuracy"], step)
    for tag, radius in zip(_certified_tags(config), config.eval_radii, strict=True):
        tracker.writer.add_scalar(tag, results["certified_accuracy"][radius], step)
        for name, accuracies in results["attacked_accuracy"].items():
            tracker.writer.add_scalar(f"test/{name}_accuracy@{radius.replace('/', '_')}", accuracies[radius], step)
    tracker.writer.add_scalar("lipschitz/lower_bound", found.lower, step)
    table = closing_table(results)
    tracker.text("results", table, step)
    log.info("test split, weights of epoch %d\n%s", results["best_epoch"], table)


def _certified_tags(config: Config) -> list[str]:
    return [f"test/certified_accuracy@{radius.replace('/', '_')}" for radius in config.eval_radii]
