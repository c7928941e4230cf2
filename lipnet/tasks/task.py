"""What a task that trains says; the driver and the loop do everything else."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from torch import Tensor, nn

from lipnet.errors import UserError
from lipnet.options.facts import content_of, inputs_and_outputs, is_digest
from lipnet.tasks.per_example import Probe
from lipnet.tasks.results import Start
from lipnet.tasks.session import Session
from lipnet.training.protocols import Batches, Validation
from lipnet.training.tracker import Tracker
from lipnet.training.update import MakesUpdate, PlainUpdate

log = logging.getLogger("lipnet")

Results = TypeVar("Results", bound=Start)
Charts = dict[str, dict[str, list[Any]]]


class Part(NamedTuple):
    """What an export writes of a network.

    Attributes:
        network: modules in a row.
        shape: of one input, without batch axis.
        inputs, outputs: their names in ONNX.
        example: the line of code that stands for a use of ``load()``; ``None``: that of images and logits.
    """

    network: nn.Module
    shape: tuple[int, ...]
    inputs: str = "images"
    outputs: str = "logits"
    example: str | None = None


class Examined(NamedTuple):
    """What an export says beside the certificate of its layers.

    Attributes:
        results: further entries of ``results.json``.
        certificate: further entries of ``certificate.json``.
        report: lines for the terminal, by its width.
    """

    results: dict[str, Any]
    certificate: dict[str, Any]
    report: Callable[[int | None], str] | None = None


class Evaluated(ABC, Generic[Results]):
    """One task in one session: what it finds of a network, however that came about.

    What it computes with is loaded when it is first used.

    Attributes:
        charts: TensorBoard's CUSTOM SCALARS page: section -> title -> ``["Multiline", tags]`` (or ``"Margin"``).
    """

    charts: ClassVar[Charts]

    def __init__(self, session: Session) -> None:
        self.session, self.config = session, session.config

    @property
    @abstractmethod
    def compared(self) -> list[str]:
        """Tags that ``show`` writes by which runs are compared, for the HPARAMS page."""

    @abstractmethod
    def evaluate(self, model: nn.Module, start: Start) -> Results:
        """``results.json``: what is known before, and what is found of the network; called by every process."""

    @abstractmethod
    def show(self, results: Results, tracker: Tracker) -> None:
        """Writes tables and figures of what ``evaluate`` found, and logs it; called by the process that writes."""

    def exported(self, model: nn.Module) -> Part:
        """What ``task=export`` writes of a trained network."""
        return Part(model, inputs_and_outputs(self.config.dataset)[0])

    def not_tested(self) -> Tensor | None:
        """Images by which an assured network chooses its float64 layers; none where nothing is classified."""
        return None

    def examine(self, model: nn.Module, network: nn.Module, deployed: nn.Module) -> Examined:
        """What is said of an export beside the certificate of its layers.

        Args:
            model: the trained network.
            network: the exported part, plain; ``deployed``: the same, or ``Assured`` where that was asked for.
        """
        return Examined({}, {})


class Own(Evaluated[Results]):
    """A task that comes to its network in a way of its own, and not by the training loop."""

    @abstractmethod
    def carry_out(self) -> Results:
        """Does all of it, or goes on with what an earlier attempt left, and returns what ``report`` wrote."""


class Task(Evaluated[Results]):
    """A task whose network the training loop trains.

    Attributes:
        sums: what ``step`` counts; an epoch reports sum / examples as ``train/<name>``.
    """

    sums: ClassVar[tuple[str, ...]]

    @property
    def update(self) -> MakesUpdate:
        """What one update of the parameters is."""
        return PlainUpdate

    @property
    def rates(self) -> dict[str, float]:
        """Child module -> what multiplies the learning rate for its parameters; 1 for all others."""
        return {}

    @abstractmethod
    def batches(self) -> Batches:
        """The training batches, on the session's device."""

    def prepare(self, model: nn.Module) -> None:
        """Changes a fresh network in place, where its start depends on data."""

    def same_data(self) -> None:
        """A run on data of the user's is continued on the same data, or it would not be the same run.

        A name that the user has given the data says nothing of the files.

        Raises:
            UserError: files have changed.
        """
        given, now = getattr(self.config.dataset, "content", None), content_of(self.config.dataset)
        if now and given is not None and not is_digest(given):
            log.warning(
                "dataset.content=%s: a name that was given, so that nobody knows whether the files are still those "
                "that the run began with.", given,
            )  # fmt: skip
        elif now and now != given:
            raise UserError(
                f"dataset={self.config.dataset.name}: its files are no longer those that the run in "
                f"{self.config.resume} began with; bring them back, or start a new run with rerun=DIR."
            )

    def proved(self, model: nn.Module) -> nn.Module | None:
        """The part of the network whose singular values are tracked; ``None`` where none has a proved constant."""
        return model

    def probe(self, model: nn.Module, count: int) -> Probe | None:
        """What the gradients of so many single examples are taken of; ``None`` where they may not be shown."""
        return None

    def begin_step(self, share: float) -> None:
        """Before each step, with the share of the run's steps that are done: where what is descended depends on it."""

    @abstractmethod
    def step(self, model: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss as a mean over a batch, and a vector of sums over it, one for each name in ``sums``."""

    @abstractmethod
    def validate(self, model: nn.Module, epoch: int) -> Validation:
        """Of the network as it would be deployed after this epoch; called without gradients."""
