"""A generative adversarial network: a critic tells images from generated ones, a generator learns from its gradient."""

import logging
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from lipnet.certify import lipschitz_bound
from lipnet.data.images import Split, Splits, load_splits, tell_counts
from lipnet.data.transport import transport_cost
from lipnet.errors import UserError
from lipnet.models.gan import Gan, generate, latent_vectors
from lipnet.models.summary import count_parameters
from lipnet.options.config import Config
from lipnet.options.facts import inputs_and_outputs
from lipnet.options.models import GanCritic
from lipnet.options.option import of_kind
from lipnet.options.tasks import GanTraining
from lipnet.randomness import stream
from lipnet.runs.commands import on_run
from lipnet.runs.machine import peak_memory_bytes
from lipnet.runs.storage import dispensable
from lipnet.tasks.activations import FIGURE, show_activations
from lipnet.tasks.gan.results import Generated, Results
from lipnet.tasks.per_example import Probe, critic_probe
from lipnet.tasks.results import Start
from lipnet.tasks.task import Charts, Examined, Part, Task
from lipnet.training.protocols import Batches, Validation
from lipnet.training.tracker import Tracker

log = logging.getLogger("lipnet")

_CHARTS: Charts = {
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


class GenerativeAdversarial(Task[Results]):
    """The critic's dual of optimal transport and, every few steps, the generator's descent of it; the last epoch is the
    best, since no score of a sample is worth more than its age.

    A critic that is not 1-Lipschitz by construction has a gradient penalty (Gulrajani et al. 2017, arXiv 1704.00028).

    Attributes:
        generated, critic: the images that were evaluated, and the critic that they were trained against.
    """

    sums = ("loss", "critic_gap")
    charts: ClassVar[Charts] = _CHARTS
    generated: Tensor
    critic: nn.Module

    @cached_property
    def splits(self) -> Splits:
        splits = load_splits(self.config.images, self.config.seed)
        tell_counts(splits, self.config.images)
        return splits

    @cached_property
    def validation(self) -> Split:
        return self.splits.validation.to(self.session.device)

    @cached_property
    def latent(self) -> Tensor:
        """The latent vectors whose images are shown, and compared with those of the validation split."""
        count = max(_SHOWN, min(len(self.validation), _VALIDATED))
        return self._vectors(count, stream(self.config.seed, "latent vectors of validation"))

    @cached_property
    def penalty(self) -> float | None:
        return self.config.model.penalty if isinstance(self.config.model, GanCritic) else None

    @property
    def compared(self) -> list[str]:
        return ["test/transport_of_generated", "test/transport_of_training"]

    @property
    def rates(self) -> dict[str, float]:
        return {"generator": self.config.generator.lr / self.config.optimizer.lr}

    def batches(self) -> Batches:
        return LatentBatches(self.splits.train.to(self.session.device), self.config, self.config.generator.latent)

    def proved(self, model: nn.Module) -> nn.Module | None:
        assert isinstance(model, Gan)
        return model.critic if model.constrained else None

    def probe(self, model: nn.Module, count: int) -> Probe | None:
        """The critic at images of the data set and at generated ones."""
        assert isinstance(model, Gan)
        split = self.validation if len(self.validation) else self.splits.train
        images = split.pixels(slice((count + 1) // 2)).to(self.session.device)
        generated = generate(model.generator, self.latent[: count // 2]) if count > 1 else images[:0]
        return critic_probe(model.critic, torch.cat((images, generated)))

    def step(self, model: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The critic's loss and, where ``targets``, latent vectors, has some for it, the generator's: each reaches its
        own weights.
        """
        assert isinstance(model, Gan)
        count = len(inputs)
        with torch.no_grad():
            generated = model.generator(targets[:count])
        gap = model.critic(inputs).mean() - model.critic(generated).mean()
        loss = -gap
        if self.penalty is not None:
            loss = loss + self.penalty * gradient_penalty(model.critic, inputs, generated)
        sums = count * torch.stack([loss.detach(), gap.detach()])
        if len(targets) > count:
            loss = loss + _generator_loss(model, targets[count:])
        return loss, sums

    @torch.no_grad()
    def validate(self, model: nn.Module, epoch: int) -> Validation:
        """The gap on held-out images, and a sheet of generated ones."""
        assert isinstance(model, Gan)
        metrics: dict[str, float] = {}
        generated = generate(model.generator, self.latent)
        if model.constrained:
            metrics["lipschitz/upper_bound"] = lipschitz_bound(model.critic, generated.shape[1:])
        if len(self.validation):
            images = self.validation.pixels(slice(_VALIDATED))
            values = [generate(model.critic, part).mean() for part in (images, generated[: len(images)])]
            metrics["validation/critic_gap"] = float(values[0] - values[1])
        every = of_kind(self.config.task, GanTraining).samples_every
        shown = {"samples/generated": generated[:_SHOWN]} if every and epoch % every == 0 else {}
        return Validation(metrics, float(epoch), images=shown)

    def evaluate(self, model: nn.Module, start: Start) -> Results:
        """Compares generated and test images."""
        assert isinstance(model, Gan)
        self.critic = model.critic
        started = time.perf_counter()
        train, test = self.splits.train, self.splits.test
        count = min(_TRANSPORTED, len(train), len(test))
        latent = self._vectors(max(count, _SHOWN), stream(self.config.seed, "latent vectors of evaluation"))
        self.generated = generate(model.generator, latent).cpu()
        images = test.pixels(slice(count))
        found: Generated = {
            "samples": count,
            "transport_of_generated": transport_cost(self.generated[:count], images),
            "transport_of_training": transport_cost(train.pixels(slice(count)), images),
        }
        return {
            **start,
            "status": "completed",
            "generator_parameters": count_parameters(model.generator),
            "gan": found,
            "lipschitz_upper_bound": self._bound(model),
            "eval_seconds": time.perf_counter() - started,
            "peak_memory_bytes": peak_memory_bytes(self.session.device),
        }

    def show(self, results: Results, tracker: Tracker) -> None:
        """Writes a sheet of generated images, and the figures."""
        from torchvision.utils import save_image  # 2 s: only where it is needed

        directory, step = self.session.directory, self.config.epochs + 1
        with dispensable("samples.png", directory):
            save_image(self.generated[:_SHOWN], directory / "samples.png")
        with dispensable(FIGURE, directory):
            images = torch.cat((self.generated[:_SHOWN], self.splits.test.pixels(slice(_SHOWN))))
            show_activations(self.critic, images.to(self.session.device), directory, tracker, step)
        table = _table(results, Path(results.get("run") or directory))
        with dispensable("TensorBoard", directory):
            for name, value in (
                ("transport_of_generated", results["gan"]["transport_of_generated"]),
                ("transport_of_training", results["gan"]["transport_of_training"]),
            ):
                tracker.writer.add_scalar(f"test/{name}", value, step)
            tracker.text("results", table, step)
        log.info("generator of epoch %d\n%s", results["best_epoch"], table)

    def exported(self, model: nn.Module) -> Part:
        """The generator: the critic has done its work."""
        assert isinstance(model, Gan)
        size = model.latent
        example = f"images = load()(torch.rand(64, {size}))  # latent vectors, uniform on [0, 1]; pixels in [0, 1]"
        return Part(model.generator, (size,), "latent", "images", example)

    def examine(self, model: nn.Module, network: nn.Module, deployed: nn.Module) -> Examined:
        """What is known of the critic, which the export does not hold."""
        assert isinstance(model, Gan)
        bound = self._bound(model)
        results = {"generator_parameters": count_parameters(model.generator), "critic_lipschitz_upper_bound": bound}
        about = (
            "the exported network is the generator: its Lipschitz constant is that from latent vectors to images\n"
            f"the critic's, which is not exported: {_proved(bound)}"
        )
        return Examined(results, {}, lambda width: about)

    def _bound(self, model: Gan) -> float | None:
        """The critic's; ``None`` where none is proved."""
        shape, _ = inputs_and_outputs(self.config.dataset)
        return lipschitz_bound(model.critic, shape) if model.constrained else None

    def _vectors(self, count: int, random: torch.Generator) -> Tensor:
        return latent_vectors(count, self.config.generator.latent, random).to(self.session.device)


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


def _table(results: Results, run: Path) -> str:
    found = results["gan"]
    return "\n".join(
        [
            f"exact optimal transport of {found['samples']:,} test images, L2 with pixels in [0, 1]",
            f"  from generated images  {found['transport_of_generated']:.4f}",
            f"  from training images   {found['transport_of_training']:.4f}  (what a perfect generator would reach)",
            f"the critic's Lipschitz constant: {_proved(results['lipschitz_upper_bound'])}",
            f"a bound on the distance between both: {on_run('run', run, 'task=wasserstein', 'dataset=gan')}",
        ]
    )


def _proved(bound: float | None) -> str:
    return "none is proved" if bound is None else f"at most {bound:.7f}"
