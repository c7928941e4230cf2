"""A generative adversarial network: a critic tells images from generated ones, a generator learns from its gradient."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from lipnet.certify import lipschitz_bound
from lipnet.data.images import Split, Splits, load_splits
from lipnet.data.randomness import stream
from lipnet.data.transport import transport_cost
from lipnet.errors import UserError
from lipnet.models.gan import Gan, generate, latent_vectors
from lipnet.models.summary import count_parameters
from lipnet.options.config import Config
from lipnet.options.models import GanCritic
from lipnet.options.option import of_kind
from lipnet.options.tasks import GanTraining
from lipnet.runs.commands import on_run
from lipnet.runs.machine import peak_memory_bytes
from lipnet.runs.record import write_results
from lipnet.runs.storage import dispensable
from lipnet.tasks.driver import track_singular_values, train_and_evaluate
from lipnet.tasks.gan.results import Generated, Results
from lipnet.tasks.results import Start
from lipnet.tasks.session import Session
from lipnet.training.tracker import Tracker

log = logging.getLogger("lipnet")

_CHARTS = {
    "training and validation": {
        "loss": ["Multiline", ["(train|validation)/loss"]],
        "critic_gap": ["Multiline", ["(train|validation)/critic_gap"]],
    },
}
_SHOWN = 64  # images on a sheet
_VALIDATED = 2000  # images a side
_TRANSPORTED = 1000  # images a side


class LatentBatches:
    """Training batches of a GAN, as the loop takes them: images, and latent vectors in place of labels.

    Every ``critic_steps``-th batch has twice as many latent vectors as images: the second half is for a step of the
    generator. An incomplete batch is left out, since batch normalisation needs more than one example.
    """

    def __init__(self, split: Split, config: Config, latent: int) -> None:
        self.split, self.latent = split, latent
        self.critic_steps = of_kind(config.task, GanTraining).critic_steps
        self.batch_size, self.steps = config.batch_size, len(split) // config.batch_size
        if not self.steps:
            raise UserError(
                f"batch_size={config.batch_size}: more than the {len(split)} training images; use a smaller one."
            )

    @property
    def device(self) -> torch.device:
        return self.split.device

    def __len__(self) -> int:
        """Images in an epoch."""
        return self.steps * self.batch_size

    def training_batches(
        self, batch_size: int, seed: int, epoch: int, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """``(images, latent vectors)``, from batch number ``first`` on, by ``(seed, epoch, batch)`` alone."""
        batches = self.split.training_batches(batch_size, seed, epoch, first)
        for number, (images, _) in zip(range(first, self.steps), batches, strict=False):
            turn = (epoch * self.steps + number + 1) % self.critic_steps == 0
            random = stream(seed, "latent vectors of training", epoch, number)
            yield images, latent_vectors((1 + turn) * len(images), self.latent, random).to(self.device)


class Adversarial:
    """The loop's objective: the critic's dual of optimal transport and, every few steps, the generator's descent of it.

    A critic that is not 1-Lipschitz by construction has a gradient penalty (Gulrajani et al. 2017, arXiv 1704.00028).
    """

    sums = ("loss", "critic_gap")

    def __init__(self, config: Config, validation: Split, latent: int, tracker: Tracker) -> None:
        self.config, self.validation, self.tracker = config, validation, tracker
        self.penalty = config.model.penalty if isinstance(config.model, GanCritic) else None
        count = max(_SHOWN, min(len(validation), _VALIDATED))
        random = stream(config.seed, "latent vectors of validation")
        self.latent = latent_vectors(count, latent, random).to(validation.device)
        if tracker.fresh:
            tracker.layout(_CHARTS)

    def step(self, model: Callable[[Tensor], Tensor], images: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        """The critic's loss and, where ``latent`` has vectors for it, the generator's: each reaches its own weights."""
        assert isinstance(model, Gan)
        count = len(images)
        with torch.no_grad():
            generated = model.generator(latent[:count])
        gap = model.critic(images).mean() - model.critic(generated).mean()
        loss = -gap
        if self.penalty is not None:
            loss = loss + self.penalty * gradient_penalty(model.critic, images, generated)
        sums = count * torch.stack([loss.detach(), gap.detach()])
        if len(latent) > count:
            loss = loss + _generator_loss(model, latent[count:])
        return loss, sums

    @torch.no_grad()
    def validate(self, model: nn.Module, epoch: int) -> tuple[dict[str, float], float, float]:
        """The gap on held-out images; the score is the epoch, since no score of a sample is worth more than its age."""
        assert isinstance(model, Gan)
        metrics: dict[str, float] = {}
        generated = generate(model.generator, self.latent)
        if model.constrained:
            metrics["lipschitz/upper_bound"] = lipschitz_bound(model.critic, generated.shape[1:])
            track_singular_values(model.critic, self.config, epoch, self.tracker)
        if len(self.validation):
            images = self.validation.pixels(slice(_VALIDATED))
            values = [generate(model.critic, part).mean() for part in (images, generated[: len(images)])]
            metrics["validation/critic_gap"] = float(values[0] - values[1])
        every = of_kind(self.config.task, GanTraining).samples_every
        if every and epoch % every == 0:
            self.tracker.writer.add_images("samples/generated", generated[:_SHOWN], epoch)
        return metrics, float(epoch), 0.0


def gradient_penalty(critic: nn.Module, first: Tensor, second: Tensor) -> Tensor:
    """The mean of ``(|grad f| - 1)^2`` at random points between images of two batches."""
    place = torch.rand(len(first), 1, 1, 1).to(first)
    between = (place * first + (1 - place) * second).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def _generator_loss(gan: Gan, latent: Tensor) -> Tensor:
    """Has the gradient of ``-E f(generated)`` with respect to the generator's weights, and none for the critic's."""
    images = gan.generator(latent)
    fixed = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(gan.critic(fixed).mean(), fixed)
    return -(images * gradient).sum()


def train(config: Config, session: Session) -> Results:
    """Trains (or continues) one GAN and evaluates its generator; returns the content of ``results.json``."""
    splits = load_splits(config.images, config.seed)
    validation, latent = splits.validation.to(session.device), config.generator.latent
    return train_and_evaluate(
        config,
        session,
        LatentBatches(splits.train.to(session.device), config, latent),
        objective=lambda tracker: Adversarial(config, validation, latent, tracker),
        evaluate=lambda model, tracker, start: evaluate(model, splits, config, session, tracker, start),
        metrics=["test/transport_of_generated", "test/transport_of_training"],
        rates={"generator": config.generator.lr / config.optimizer.lr},
    )


def evaluate(
    model: nn.Module, splits: Splits, config: Config, session: Session, tracker: Tracker, start: Start
) -> Results:
    """Compares generated and test images; writes a sheet of the former and ``results.json``."""
    from torchvision.utils import save_image  # 2 s: only where it is needed

    assert isinstance(model, Gan)
    started = time.perf_counter()
    count = min(_TRANSPORTED, len(splits.train), len(splits.test))
    random = stream(config.seed, "latent vectors of evaluation")
    latent = latent_vectors(max(count, _SHOWN), model.latent, random).to(session.device)
    generated = generate(model.generator, latent).cpu()
    with dispensable("samples.png", session.directory):
        save_image(generated[:_SHOWN], session.directory / "samples.png")
    test = splits.test.pixels(slice(count))
    found: Generated = {
        "samples": count,
        "transport_of_generated": transport_cost(generated[:count], test),
        "transport_of_training": transport_cost(splits.train.pixels(slice(count)), test),
    }
    bound = lipschitz_bound(model.critic, test.shape[1:]) if model.constrained else math.nan
    results: Results = {
        **start,
        "status": "completed",
        "generator_parameters": count_parameters(model.generator),
        "gan": found,
        "lipschitz_upper_bound": bound if model.constrained else None,
        "eval_seconds": time.perf_counter() - started,
        "peak_memory_bytes": peak_memory_bytes(session.device),
    }
    table = _table(found, bound, session.directory)
    with dispensable("TensorBoard", session.directory):
        for name in ("transport_of_generated", "transport_of_training"):
            tracker.writer.add_scalar(f"test/{name}", found[name], config.epochs + 1)
        tracker.text("results", table, config.epochs + 1)
    write_results(session.directory, results)
    log.info("generator of epoch %d\n%s", results["best_epoch"], table)
    return results


def _table(found: Generated, bound: float, directory: Path) -> str:
    proved = "none is proved" if math.isnan(bound) else f"at most {bound:.7f}"
    return "\n".join(
        [
            f"exact optimal transport of {found['samples']:,} test images, L2 with pixels in [0, 1]",
            f"  from generated images  {found['transport_of_generated']:.4f}",
            f"  from training images   {found['transport_of_training']:.4f}  (what a perfect generator would reach)",
            f"the critic's Lipschitz constant: {proved}",
            f"a bound on the distance between both: {on_run('run', directory, 'task=wasserstein', 'dataset=gan')}",
        ]
    )
