"""What must hold between keys of ``task=online``."""

from collections.abc import Iterator
from typing import Any

from lipnet.options.models import Experts
from lipnet.options.option import Named
from lipnet.options.registry import GROUPS, Option, is_for, names_for
from lipnet.options.streams import Series, Stream
from lipnet.options.tasks import Online

_SEVERAL = 256  # experts, above which a grid is a mistake


def check_stream_choices(task: Any, dataset: Any, loss: Any) -> Iterator[str]:
    """A stream is predicted, and nothing else is: task, data set and loss must agree."""
    wanted = GROUPS["task"][task].data if task in GROUPS["task"] else ""
    if is_for("stream", dataset) and wanted not in ("", "stream"):
        others = ", ".join(names_for("dataset", wanted))
        yield f"dataset={dataset}: a stream, which task=online predicts; use task=online, or dataset={others}."
    elif wanted == "stream" and dataset in GROUPS["dataset"] and not is_for("stream", dataset):
        streams = ", ".join(names_for("dataset", "stream"))
        yield f"dataset={dataset}: no stream, and task={task} predicts one; choose dataset={streams}."
    elif is_for("stream", dataset) and loss in GROUPS["loss"] and GROUPS["loss"][loss].data != "stream":
        losses = ", ".join(names_for("loss", "stream"))
        yield f"loss={loss}: not of a prediction of numbers, as dataset={dataset} asks for; use loss={losses}."
    elif not is_for("stream", dataset) and loss in GROUPS["loss"] and GROUPS["loss"][loss].data == "stream":
        yield f"loss={loss}: of the predictions of a stream, and dataset={dataset} is none; leave it out."


def check_online(config: Any, learned: Option | None) -> Iterator[str]:
    """What the predictor needs of the stream, of its experts and of the options around it.

    Args:
        learned: the task that trains the network, or has trained it.
    """
    if learned is not None and learned.by_rounds and config.task.name != learned.name:
        yield (
            f"run={config.run}: of task={learned.name}, which charges a prediction when it is made; nothing of it can "
            f"be done again with task={config.task.name}."
        )
        return
    known = config.dataset is not None  # of one with mistakes these are said, and that is enough
    if isinstance(config.model, Experts) and known and not isinstance(config.dataset, Stream):
        yield "model=experts: predicts a stream; only task=online trains it."
    if not isinstance(config.task, Online) or not isinstance(config.dataset, Stream):
        return
    if config.model is not None and not isinstance(config.model, Experts):
        yield f"model={config.model.name}: task={config.task.name} trains a bank of networks; use model=experts."
    if isinstance(config.model, Experts) and None not in (config.model.memories, config.model.budgets):
        yield from _check_grid(config.model, config.dataset)
    yield from _check_training(config)
    if isinstance(config.dataset, Series) and config.dataset.file is None:
        yield "dataset.file=null: dataset=series needs dataset.file=FILE.csv, a line an observation."


def _check_grid(model: Experts, stream: Stream) -> Iterator[str]:
    for key in ("memories", "budgets"):
        values = getattr(model, key)
        if len(set(values)) < len(values):
            yield f"model.{key}={values}: two of them are equal; give each once."
    if len(model.memories) * len(model.budgets) > _SEVERAL:
        count = len(model.memories) * len(model.budgets)
        yield f"model.memories and model.budgets make {count} experts; use at most {_SEVERAL}."
    if stream.warmup is not None and stream.warmup < max(model.memories):
        yield (
            f"dataset.warmup={stream.warmup}: the first prediction needs {max(model.memories)} observations before it, "
            "the largest of model.memories; use at least as many."
        )
    if stream.warmup == 1 and stream.scale is None:
        yield "dataset.warmup=1: one observation has no spread; use at least 2, or give dataset.scale."


def _check_training(config: Any) -> Iterator[str]:
    linear: Named | None = config.linear
    if linear is not None and linear.name not in ("orthogonal", "bjorck", "plain"):
        yield f"linear={linear.name}: makes no stack of layers; use linear=orthogonal, bjorck or plain."
    if linear is not None and linear.name != "plain" and config.task.penalty:
        yield (
            f"task.penalty={config.task.penalty:g}: for unconstrained networks, linear=plain; those of "
            f"linear={linear.name} never exceed their constants."
        )
    if config.scheduler is not None and config.scheduler.name != "constant":
        yield f"scheduler={config.scheduler.name}: a stream has no last round to plan for; use scheduler=constant."
    if config.debug == "overfit":
        yield f"debug=overfit: task={config.task.name} sees each observation once; use debug=fast."
    if config.compile or config.amp == "bf16":
        yield f"compile=true or amp=bf16: task={config.task.name} does not read them; leave them out."
