"""Every option that a configuration can choose, registered under its group. Imports no torch.

``--help``, the checks, the builders, the tables and the documentation ask this registry; nothing else lists options.
"""

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from lipnet.options.option import Named


@dataclass(frozen=True)
class Option:
    """One option of a group.

    Attributes:
        keys: a dataclass of checked keys; their defaults are in ``conf/GROUP/NAME.yaml``, those of a plugin's option in
            its fields.
        code: what it stands for, as ``module:name``, imported when it is used, or itself. What is called, by group:
            conv, linear: ``(channels or features of the layer, **keys) -> layer``; a convolution that is made for
            images of one size has an argument ``image_size``. activation: ``(**keys) -> layer``; one that learns of
            each channel has an argument ``channels``.
            shuffle: ``(channels, groups of the convolution after it, generator, **keys) -> layer``.
            model: ``(config, input shape, outputs) -> list of modules``.
            loss: ``(option, margin) -> ((logits, labels) -> losses)``, one that has margins for pairs of classes with
            an argument ``demand``; of a stream ``option -> ((predictions, outcomes) -> losses)``.
            optimizer: ``(parameters, **keys)``.
            scheduler: ``(option, peak, steps, steps per epoch) -> (step -> rate)``.
            dataset: ``option -> (training split, test split)``, for a pair ``option -> Pair``, and for
            a stream ``(option, goal, seed) -> Source``; a set whose training
            examples the run draws has an argument ``seed``.
            inference: ``(option, log density, seed, name of the posterior) -> Sampler``.
            task: of one that trains, ``session -> Learner``; of one that reads a finished run, ``session -> results``.
        reads: of a model, the groups whose options it is built of; of a task, the keys and groups of keys that it alone
            or a few tasks read.
        data: ``images``, ``pair``, ``problem`` or ``stream``: what a data set is, and what a task or a loss is for;
            empty: any.
        losses: of a task, the losses that it trains with; empty: any.
        any_kernel: of a convolution, whether a kernel need not be a multiple of its stride.
        slope: of a loss of logits, ``(option, classes) -> bound on the norm of its gradient``, as ``code``.
        separate: of a loss of logits, whether what it is of an example depends on no other one.
        groups: of an activation, how many channels it takes together; ``None``: all of them.
        shape, classes: of labelled images, ``(channels, height, width)``, or of labelled points ``(dimensions,)``; and
            the number of classes.
        found: of data of the user's, as ``code``: what its keys that are null are, ``option -> {key: value}``; it
            imports no torch. The option itself says then by ``shape_and_classes`` what is registered of others.
        shared: of a task, whether several processes can share a run.
        private: of a task, whether what it reads may not be told: messages of failures are printed, and not kept.
        network: of a task that trains, ``(config, input shape, outputs) -> network``, as ``code``.
        numbers: of a task, ``config -> Numbers``: those that ``results.json`` of such a run may hold, as ``code``; it
            imports no torch.
        evaluation: of a task that trains, the keys that ``task=evaluate`` may change of its runs, beside those of any.
        changes: of a task that reads a finished run, the keys that it may change of it; ``None``: it trains.
        by_rounds: of a task that trains, whether it does so itself, round by round, with no epochs and no network to
            evaluate again: its code is ``session -> results``.
        unread: of a task, the keys that others read and it does not.
        like: of a plugin's option, the option of its group that has the defaults of keys without one of their own, and
            chooses in other groups what this one chooses too.
        file: of a plugin's option, a YAML file of its defaults, as those in ``conf/``.
        plugin: the module that registered it; empty: lipnet.
    """

    group: str
    name: str
    keys: type = Named
    code: str | Callable[..., Any] = ""
    reads: tuple[str, ...] = ()
    data: str = ""
    losses: tuple[str, ...] = ()
    any_kernel: bool = False
    slope: str = ""
    separate: bool = True
    groups: Callable[[Any], int | None] | None = None
    shape: tuple[int, ...] | None = None
    classes: int = 1
    found: str | Callable[..., Any] = ""
    shared: bool = False
    private: bool = False
    network: str = "lipnet.models:build_model"
    numbers: str = ""
    evaluation: tuple[str, ...] = ()
    changes: Callable[[], tuple[str, ...]] | None = None
    by_rounds: bool = False
    unread: tuple[str, ...] = ()
    like: str = ""
    file: str | Path = ""
    plugin: str = ""

    @property
    def trains(self) -> bool:
        """Of a task: whether it trains a network, or reads a finished run."""
        return self.changes is None

    def load(self) -> Any:
        """Imports the code, and returns it."""
        return load_code(self.code)


def load_code(code: str | Callable[..., Any]) -> Any:
    """What ``module:name`` stands for; anything else is it already."""
    if not isinstance(code, str):
        return code
    module, _, name = code.partition(":")
    return getattr(import_module(module), name)


# Every group in the order in which they are shown, with its options; the first is the default. The last groups are
# late: a pair's file chooses the model and the loss that it can be used with, and task=gan its loss.
GROUPS: dict[str, dict[str, Option]] = {
    "model": {}, "conv": {}, "shuffle": {}, "linear": {}, "activation": {}, "loss": {}, "optimizer": {},
    "scheduler": {}, "inference": {}, "dataset": {}, "task": {},
}  # fmt: skip


def register(group: str, name: str, keys: type = Named, code: str | Callable[..., Any] = "", **facts: Any) -> None:
    """Adds an option; ``facts`` are further attributes of ``Option``.

    Raises:
        ValueError: there is no such group, or it has an option of this name.
    """
    if group not in GROUPS:
        raise ValueError(f"no group {group!r}: options belong to {', '.join(GROUPS)}")
    if name in GROUPS[group]:
        raise ValueError(f"{group}={name} is registered already, by {GROUPS[group][name].plugin or 'lipnet'}")
    plugin = registered_by(sys._getframe(1).f_globals.get("__name__", ""))
    GROUPS[group][name] = Option(group, name, keys, code, plugin=plugin, **facts)


_loading: list[str] = []  # the plugin that is being imported, within another one perhaps


@contextlib.contextmanager
def loading(plugin: str) -> Iterator[None]:
    """What is registered meanwhile belongs to this plugin, whichever of its modules does it."""
    _loading.append(plugin)
    try:
        yield
    finally:
        _loading.pop()


def registered_by(module: str) -> str:
    """The plugin that a module registers for; empty of lipnet itself."""
    if module.partition(".")[0] == "lipnet":
        return ""
    return _loading[0] if _loading else module


def load(group: str, name: str) -> Any:
    """Imports the code of an option, and returns it."""
    return GROUPS[group][name].load()


def taken(make: Callable[..., Any], **facts: Any) -> dict[str, Any]:
    """The facts that an option's code has arguments for."""
    parameters = inspect.signature(make).parameters
    return {name: value for name, value in facts.items() if name in parameters}


_OF_NETWORKS = ("conv", "shuffle", "linear", "activation")  # groups that a network may be built of


def unread_groups(model: Any) -> list[str]:
    """The groups of layers that a model is not built of, so that no choice in them tells two runs apart.

    Empty for a model that is not known, as one of another version.
    """
    if model not in GROUPS["model"]:
        return []
    return [group for group in _OF_NETWORKS if group not in GROUPS["model"][model].reads]


def names_for(group: str, data: str) -> list[str]:
    """A group's options for labelled ``images``, a ``pair`` of distributions or a ``problem`` with constraints."""
    return [name for name, option in GROUPS[group].items() if option.data == data]


def image_sets() -> list[str]:
    """The data sets whose examples are images: all that are labelled, but for points."""
    return [name for name in names_for("dataset", "images") if is_image(GROUPS["dataset"][name].shape)]


def is_image(shape: tuple[int, ...] | None) -> bool:
    """Whether this is ``(channels, height, width)``."""
    return shape is not None and len(shape) == 3


def is_for(data: str, dataset: Any) -> bool:
    """Whether this is the name of a data set of the kind ``images``, ``pair`` or ``problem``."""
    return dataset in GROUPS["dataset"] and GROUPS["dataset"][dataset].data == data
