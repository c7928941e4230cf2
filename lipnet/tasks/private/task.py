"""Private training: provable robustness of a network that tells little of any one training example."""

import logging
import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from lipnet.certify.sensitivity import Inputs, Sensitivity
from lipnet.data.images import Splits
from lipnet.data.poisson import PoissonBatches, sampling_rate
from lipnet.errors import UserError
from lipnet.losses import loss_slope
from lipnet.options.config import Config
from lipnet.options.facts import content_of, inputs_and_outputs
from lipnet.options.option import of_kind
from lipnet.options.tasks import Private as Option
from lipnet.randomness import Secret
from lipnet.runs.commands import on_run
from lipnet.runs.files import read_results
from lipnet.runs.recorded import recorded_config
from lipnet.runs.storage import dispensable
from lipnet.tasks.per_example import Probe
from lipnet.tasks.private.accountant import Accountant
from lipnet.tasks.private.results import Clip, Privacy, Results
from lipnet.tasks.private.separate import refuse_mixing, refuse_mixing_loss
from lipnet.tasks.results import Start
from lipnet.tasks.robustness.deployment import CHOOSES_BY
from lipnet.tasks.robustness.results import Results as Classifier
from lipnet.tasks.robustness.task import Robustness
from lipnet.training.private import BoundedByConstants, Clipped, Contributions, PrivateUpdate
from lipnet.training.protocols import Batches, Validation
from lipnet.training.tracker import Tracker
from lipnet.training.update import MakesUpdate

log = logging.getLogger("lipnet")


class Private(Robustness):
    """Differentially private SGD: everything that a run shows of its training examples has passed the noise.

    No training loss or accuracy is reported, therefore, and the epoch is chosen on a validation split that is public.
    """

    sums = ()

    @cached_property
    def option(self) -> Option:
        """Of the run itself, or of the one that it evaluates."""
        config = self.config
        trained = config if config.run is None else recorded_config(Path(config.run))
        return of_kind(trained.task, Option)

    @cached_property
    def secret(self) -> Secret:
        return Secret(self.option.noise_seed)

    def tell(self, splits: Splits) -> None:
        """Nothing: how many examples of each class there are would be told without noise."""

    @property
    def examples(self) -> int:
        return len(self.splits.train)

    def steps(self, epochs: int) -> int:
        return epochs * math.ceil(self.examples / self.config.batch_size)

    @cached_property
    def accountant(self) -> Accountant:
        rate = sampling_rate(self.examples, self.config.batch_size)
        return Accountant(self.option.accountant, rate, self.option.delta)

    @cached_property
    def noise_multiplier(self) -> float:
        option = self.option
        if option.noise_multiplier is not None:
            return option.noise_multiplier
        assert option.target_epsilon is not None  # one of them is, by the checks
        return self.accountant.noise_for(option.target_epsilon, self.steps(self.config.epochs))

    @cached_property
    def batch_size(self) -> float:
        """How many examples a batch has on average."""
        return self.accountant.rate * self.examples

    def batches(self) -> Batches:
        return PoissonBatches(self.splits.train.to(self.session.device), self.secret)

    def prepare(self, model: nn.Module) -> None:
        """Says what will be spent, before anything is."""
        super().prepare(model)
        option, examples = self.option, self.examples
        if option.delta > 1 / examples:
            raise UserError(
                f"task.delta={option.delta:g}: more than one in {examples:,} training examples, of which one could "
                f"then be published whole; use less than {1 / examples:.2g}."
            )
        shape, classes = inputs_and_outputs(self.config.dataset)
        refuse_mixing(model, self.config.model.name, shape)
        refuse_mixing_loss(self.losses, self.config.loss.name, classes, self.epsilon)
        steps = self.steps(self.config.epochs)
        spent = self.accountant.epsilon(self.noise_multiplier, steps)
        log.info(
            "private training: epsilon %.4g at delta %.3g after %d steps of %.4g of %d examples on average, "
            "noise of %.4g times what one example may add",
            spent, option.delta, steps, self.batch_size, examples, self.noise_multiplier,
        )  # fmt: skip
        if self.secret.given:
            log.warning(
                "task.noise_seed=%d: whoever knows this number can subtract the noise; leave it out for a network that "
                "is to be published.", option.noise_seed,
            )  # fmt: skip
            if self.config.rerun is not None:
                log.warning(
                    "rerun=%s: with the same task.noise_seed and other data, the difference of both networks tells the "
                    "examples that differ.", self.config.rerun,
                )  # fmt: skip

    @property
    def update(self) -> MakesUpdate:
        return self._made

    def _made(self, model: nn.Module, optimizer: torch.optim.Optimizer, config: Config) -> PrivateUpdate:
        return PrivateUpdate(
            model, optimizer, self._contributions(model), self.noise_multiplier, self.batch_size, self.secret,
            content_of(self.config.dataset),
        )  # fmt: skip

    def _contributions(self, model: nn.Module) -> Contributions:
        if self.option.mode == "clip":
            return Clipped(model, self.option.clip, self.batch_size)
        shape, classes = inputs_and_outputs(self.config.dataset)
        try:
            sensitivity = Sensitivity(model, self._inputs(shape), loss_slope(self.config.loss, classes))
        except TypeError as error:
            raise UserError(f"task.mode=clipless: {error}; use other layers, or task.mode=clip.") from error
        return BoundedByConstants(model, sensitivity, self.batch_size)

    def _inputs(self, shape: tuple[int, ...]) -> Inputs:
        """Pixels are in [0, 1]."""
        device, longest = self.session.device, self.option.input_norm
        if longest is not None:
            return Inputs(torch.zeros(shape, device=device), longest)
        return Inputs(torch.full(shape, 0.5, device=device), math.sqrt(math.prod(shape)) / 2)

    def not_tested(self) -> Tensor | None:
        """Public ones, or none."""
        return self.splits.validation.pixels(slice(CHOOSES_BY)) if len(self.splits.validation) else None

    def same_data(self) -> None:
        """The update knows, in what is forgotten with its secret, which files the run began with."""

    def probe(self, model: nn.Module, count: int) -> Probe | None:
        """None: of single examples nothing is shown."""
        return None

    def step(self, model: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Of a batch that may be empty."""
        longest = self.option.input_norm
        if self.option.mode == "clipless" and longest is not None:
            inputs = _shortened(inputs, longest)
        losses = self.losses(None, model(inputs), targets, self.epsilon)
        return losses.sum() / self.batch_size, losses.new_zeros(0)

    @torch.no_grad()
    def validate(self, model: nn.Module, epoch: int) -> Validation:
        found = super().validate(model, epoch)
        found.metrics["privacy/epsilon"] = self.accountant.epsilon(self.noise_multiplier, self.steps(epoch))
        return found

    def evaluate(self, model: nn.Module, start: Start) -> Results:
        return {**super().evaluate(model, start), "privacy": self._privacy()}

    def _privacy(self) -> Privacy:
        """Of the training: of a run that is evaluated again, what it has found, whatever the data are now."""
        if self.config.run is not None:
            found: Privacy | None = read_results(Path(self.config.run)).get("privacy")
            if found is None:
                raise UserError(
                    f"run={self.config.run}: has no results that say what its training spent; finish it first: "
                    f"{on_run('resume', self.config.run)}"
                )
            return found
        steps, option = self.steps(self.config.epochs), self.option
        clip: Clip = {"clip": option.clip} if option.mode == "clip" else {}
        return {
            "epsilon": self.accountant.epsilon(self.noise_multiplier, steps),
            "delta": option.delta,
            "noise_multiplier": self.noise_multiplier,
            "mode": option.mode,
            **clip,
            "accountant": option.accountant,
            "steps": steps,
            "sampling_rate": self.accountant.rate,
            "examples": self.examples,
            "repeatable": self.secret.given,
        }

    def show(self, results: Classifier, tracker: Tracker) -> None:
        super().show(results, tracker)
        text = guarantee(self._privacy())
        with dispensable("TensorBoard", self.session.directory):
            tracker.text("privacy", text, self.config.epochs + 1)
        log.info("%s", text)

    def _draw_regions(self, tracker: Tracker, step: int) -> None:
        """Not drawn: the figure shows training examples."""


def guarantee(privacy: Privacy) -> str:
    """What was spent, in a sentence."""
    return (
        f"private towards its {privacy['examples']:,} training examples: epsilon {privacy['epsilon']:.4g} at delta "
        f"{privacy['delta']:.3g} ({privacy['accountant']}, {privacy['steps']:,} steps, noise "
        f"{privacy['noise_multiplier']:.4g}, sampling rate {privacy['sampling_rate']:.3g})"
    )


def _shortened(inputs: Tensor, longest: float) -> Tensor:
    """Inputs of an L2 norm of at most ``longest``, in the direction that they had."""
    norms = inputs.flatten(1).norm(dim=1).clamp_min(longest)
    return inputs * (longest / norms).view(-1, *[1] * (inputs.dim() - 1))
