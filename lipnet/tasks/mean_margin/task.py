"""Train a classifier by its mean margin, which clean and certified accuracy both follow from."""

import logging
from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

from torch import Tensor, nn

from lipnet.certify import certified_radii, lipschitz_bound, margins
from lipnet.certify.radius import model_logits
from lipnet.data.images import Split, Splits, load_splits
from lipnet.options.facts import inputs_and_outputs
from lipnet.options.option import of_kind
from lipnet.options.tasks import MeanMargin as Option
from lipnet.tasks.mean_margin.results import Results
from lipnet.tasks.results import Start
from lipnet.tasks.task import Charts, Task
from lipnet.training.protocols import Batches, Validation
from lipnet.training.tracker import Tracker

log = logging.getLogger("lipnet")


class MeanMargin(Task[Results]):
    """Ascends the mean margin of a batch, each margin up to a largest one."""

    sums = ("loss",)
    charts: ClassVar[Charts] = {"radii": {"mean radius": ["Multiline", ["(validation|test)/mean_radius"]]}}
    compared: ClassVar[list[str]] = ["test/mean_radius"]

    @cached_property
    def splits(self) -> Splits:
        return load_splits(self.config.images, self.config.seed)

    def batches(self) -> Batches:
        return self.splits.train.to(self.session.device)

    def step(self, model: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        largest = of_kind(self.config.task, Option).largest
        losses = -margins(model(inputs).to(inputs.dtype), targets).clamp(max=largest)
        return losses.mean(), losses.detach().sum()[None]

    def validate(self, model: nn.Module, epoch: int) -> Validation:
        if not len(self.splits.validation):
            return Validation({}, float(epoch))
        _, radii = self._radii(model, self.splits.validation)
        radius = float(radii.mean())
        return Validation({"validation/mean_radius": radius}, radius, float(radii.std()) / len(radii) ** 0.5)

    def evaluate(self, model: nn.Module, start: Start) -> Results:
        bound, radii = self._radii(model, self.splits.test)
        return {
            **start,
            "status": "completed",
            "clean_accuracy": float((radii > 0).double().mean()),
            "mean_radius": float(radii.mean()),
            "lipschitz_upper_bound": bound,
        }

    def show(self, results: Results, tracker: Tracker) -> None:
        radius = results["mean_radius"]
        tracker.writer.add_scalar("test/mean_radius", radius, self.config.epochs + 1)
        log.info("clean accuracy %.4f, mean certified radius %.4f", results["clean_accuracy"], radius)

    def _radii(self, model: nn.Module, split: Split) -> tuple[float, Tensor]:
        split, bound = split.to(self.session.device), lipschitz_bound(model, inputs_and_outputs(self.config.dataset)[0])
        return bound, certified_radii(model_logits(model, split.pixels()), split.labels, bound)
