"""The schema: every key of every option, its range, and what must hold between keys. Imports no torch.

Defaults live in ``conf/`` alone; a key that is not declared here is an error. ``parse`` collects all problems of a
configuration and reports them together.
"""

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lipnet.checks import boolean, checked, list_of, number, one_of, optional, radii, text, whole
from lipnet.data.facts import DATASETS
from lipnet.errors import UserError


@dataclass(frozen=True)
class Named:
    """An option without keys of its own."""

    name: str = checked(text)


@dataclass(frozen=True)
class Robustness(Named):
    select_by: str = checked(one_of("certified_accuracy", "clean_accuracy", "loss"))


@dataclass(frozen=True)
class ConvNet(Named):
    channels: list[int] = checked(list_of(whole(1)))
    kernel_sizes: list[int] = checked(list_of(whole(1)))
    strides: list[int] = checked(list_of(whole(1)))
    hidden: list[int] = checked(list_of(whole(1)))


@dataclass(frozen=True)
class FullyConnected(Named):
    hidden: list[int] = checked(list_of(whole(1)))


@dataclass(frozen=True)
class PlainConv(Named):
    padding_mode: str = checked(one_of("circular", "zeros"))


@dataclass(frozen=True)
class BCOP(PlainConv):
    orthogonalizer: str = checked(one_of("cholesky", "bjorck"))


@dataclass(frozen=True)
class BjorckLinear(Named):
    iterations: int = checked(whole(1))


@dataclass(frozen=True)
class GroupSort(Named):
    group_size: int | None = checked(optional(whole(2)))


@dataclass(frozen=True)
class Dataset(Named):
    validation: float = checked(number(at_least=0, at_most=0.5))
    limit_train: int | None = checked(optional(whole(1)))
    limit_test: int | None = checked(optional(whole(1)))
    mean: list[float] = checked(list_of(number(), at_least=1))
    std: list[float] = checked(list_of(number(above=0), at_least=1))
    epsilon: float = checked(number(above=0))
    eval_radii: list[str] = checked(radii)


@dataclass(frozen=True)
class StoredDataset(Dataset):
    root: str = checked(text)
    download: bool = checked(boolean)


@dataclass(frozen=True)
class AugmentedDataset(StoredDataset):
    augment: bool = checked(boolean)


@dataclass(frozen=True)
class Margin(Named):
    epsilon: float = checked(number(above=0))


@dataclass(frozen=True)
class CrossEntropy(Named):
    epsilon: float = checked(number(at_least=0))
    temperature: float = checked(number(above=0))


@dataclass(frozen=True)
class Optimizer(Named):
    lr: float = checked(number(above=0, at_most=100))
    weight_decay: float = checked(number(at_least=0))


@dataclass(frozen=True)
class Adam(Optimizer):
    betas: list[float] = checked(list_of(number(at_least=0, below=1), length=2))


@dataclass(frozen=True)
class SGD(Optimizer):
    momentum: float = checked(number(at_least=0, below=1))


@dataclass(frozen=True)
class RMSprop(Optimizer):
    alpha: float = checked(number(at_least=0, below=1))


@dataclass(frozen=True)
class OneCycle(Named):
    warmup: float = checked(number(above=0, below=1))
    final: float = checked(number(at_least=0, at_most=1))


@dataclass(frozen=True)
class Cosine(Named):
    final: float = checked(number(at_least=0, at_most=1))


@dataclass(frozen=True)
class Exponential(Named):
    gamma: float = checked(number(above=0, at_most=1))


@dataclass(frozen=True)
class Attack:
    steps: int = checked(whole(1))
    restarts: int = checked(whole(1))
    examples: int | None = checked(optional(whole(1)))


GROUPS: dict[str, dict[str, type]] = {
    "task": {"robustness": Robustness, "evaluate": Named},
    "model": {"small": ConvNet, "large": ConvNet, "fc": FullyConnected},
    "conv": {"bcop": BCOP, "plain": PlainConv},
    "linear": {"orthogonal": Named, "bjorck": BjorckLinear, "plain": Named},
    "activation": {"maxmin": Named, "groupsort": GroupSort, "relu": Named, "abs": Named, "identity": Named},
    "dataset": {
        "digits": Dataset, "mnist": StoredDataset, "fashion_mnist": StoredDataset, "cifar10": AugmentedDataset,
    },
    "loss": {"margin": Margin, "cross_entropy": CrossEntropy},
    "optimizer": {"adam": Adam, "sgd": SGD, "rmsprop": RMSprop},
    "scheduler": {"onecycle": OneCycle, "cosine": Cosine, "exponential": Exponential, "constant": Named},
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """A checked configuration: what every part of the program reads."""

    task: Any
    model: Any
    conv: Any
    linear: Any
    activation: Any
    dataset: Any
    loss: Any
    optimizer: Any
    scheduler: Any
    attack: Attack
    seed: int = checked(whole(0))
    epochs: int = checked(whole(1))
    batch_size: int = checked(whole(1))
    device: str = checked(one_of("auto", "cpu", "cuda"))
    threads: int | None = checked(optional(whole(1)))
    progress: str = checked(one_of("auto", "on", "off"))
    eval_radii: list[str] = checked(radii)
    certify_dtype: str = checked(one_of("float64", "float32"))
    singular_values_every: int = checked(whole(0))
    resume: str | None = checked(optional(text))
    run: str | None = checked(optional(text))

    @property
    def bars_hidden(self) -> bool | None:
        """tqdm's ``disable``: ``None`` hides bars where there is no terminal."""
        return {"auto": None, "on": False, "off": True}[self.progress]


def parse(config: DictConfig | Mapping[str, Any]) -> Config:
    """Checks a composed configuration.

    Raises:
        UserError: with every problem found: unknown, missing or ill-typed keys, values out of range, keys that do not
            go together.
    """
    parsed, problems = examine(config)
    if parsed is None or problems:
        raise UserError(*problems)
    return parsed


def examine(config: DictConfig | Mapping[str, Any]) -> tuple[Config | None, list[str]]:
    """The checked configuration, or ``None`` with all its problems."""
    try:
        raw: Any = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    except OmegaConfBaseException as error:
        return None, [f"{str(error).splitlines()[0]}."]
    problems: list[str] = []
    values = _parse_fields(Config, raw, "", problems)
    problems += _between_keys(SimpleNamespace(**values))
    return (None if problems else Config(**values)), problems


def _parse_node(schema: type, raw: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(raw, Mapping):
        problems.append(f"{path.rstrip('.')}={raw}: must be a group of keys; choose an option or override a key in it.")
        return None
    before = len(problems)
    values = _parse_fields(schema, raw, path, problems)
    return schema(**values) if len(problems) == before else None


def _parse_fields(schema: type, raw: Mapping[str, Any], path: str, problems: list[str]) -> dict[str, Any]:
    """Every declared field's checked value; ``None`` where there is a problem."""
    fields = {field.name: field for field in dataclasses.fields(schema)}
    known = [path + name for name in fields]
    problems += [unknown_key(path + str(key), known) for key in raw if key not in fields]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in raw:
            problems.append(f"{path}{name}: this key is missing; it may not be deleted.")
            values[name] = None
        elif "check" in field.metadata:
            values[name] = _parse_value(field.metadata["check"], raw[name], path + name, problems)
        else:
            values[name] = _parse_option(name, raw[name], problems)
    return values


def _parse_value(check: Any, value: Any, path: str, problems: list[str]) -> Any:
    try:
        return check(value)
    except ValueError as error:
        shown = "null" if value is None else value
        problems.append(f"{path}={shown}: {error}.")
        return None


def _parse_option(group: str, raw: Any, problems: list[str]) -> Any:
    if group == "attack":
        return _parse_node(Attack, raw, "attack.", problems)
    options = GROUPS[group]
    name = raw.get("name") if isinstance(raw, Mapping) else raw
    if name not in options:
        problems.append(unknown_option(group, str(name), options))
        return None
    return _parse_node(options[name], raw, f"{group}.", problems)


def unknown_option(group: str, given: str, options: Iterable[str]) -> str:
    """The message for ``group=given``, with the nearest option."""
    options = list(options)
    return f"{group}={given}: no such option;{_nearest(given, options)} {group} takes {', '.join(options)}."


def unknown_key(given: str, known: Iterable[str]) -> str:
    """The message for a key that nothing reads, with the nearest key that something does."""
    known = list(known)
    beside = [key for key in known if key.rpartition(".")[0] == given.rpartition(".")[0]]
    listed = f" Keys there: {', '.join(beside)}." if beside else ""
    return f"{given}: no such key, nothing would read it;{_nearest(given, known)}{listed}"


def _nearest(given: str, names: list[str]) -> str:
    close = [name for name in names if name.rpartition(".")[2] == given.rpartition(".")[2]][
        :1
    ]  # only the group is wrong
    close = close or difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    return f" did you mean {close[0]}?" if close else " see --help for the names."


def _between_keys(config: Any) -> Iterator[str]:
    """What must hold between keys, as far as the keys themselves are right (a wrong one is ``None``)."""
    if config.task is not None:
        yield from _check_task(config)
    if config.dataset is not None:
        shape, _ = DATASETS[config.dataset.name]
        yield from _check_normalisation(config.dataset, shape[0])
        if isinstance(config.model, ConvNet):
            yield from _check_conv_net(config.model, config.dataset.name, shape)
    if config.activation is not None and config.model is not None:
        yield from _check_activation(config)


def _check_task(config: Any) -> Iterator[str]:
    evaluates = config.task.name == "evaluate"
    if evaluates and not config.run:
        yield "run=null: task=evaluate needs run=DIR, the directory of a finished run."
    if evaluates and config.resume:
        yield "resume and task=evaluate do not go together: evaluate a run with run=DIR alone."
    if not evaluates and config.run:
        yield f"run={config.run}: only task=evaluate reads it; to continue a run use resume=DIR."


def _check_normalisation(dataset: Dataset, channels: int) -> Iterator[str]:
    for key in ("mean", "std"):
        count = len(getattr(dataset, key))
        if count != channels:
            yield f"dataset.{key} has {count} entries: {dataset.name} has {channels} channels, one entry each."


def _check_conv_net(model: ConvNet, dataset: str, shape: tuple[int, int, int]) -> Iterator[str]:
    counts = {key: len(getattr(model, key)) for key in ("channels", "kernel_sizes", "strides")}
    if len(set(counts.values())) > 1 or not model.channels:
        listed = ", ".join(f"model.{key} has {count}" for key, count in counts.items())
        yield f"{listed}: these lists describe the convolutions and must have one entry for each."
        return
    size = shape[1]
    for index, (kernel_size, stride) in enumerate(zip(model.kernel_sizes, model.strides, strict=True)):
        place = f"model.kernel_sizes[{index}]={kernel_size}"
        if kernel_size < stride:
            yield f"{place}: a kernel smaller than its stride {stride} skips pixels; use at least {stride}."
            return
        if kernel_size % stride:
            yield f"{place}: must be a multiple of its stride, model.strides[{index}]={stride}."
            return
        if size % stride:
            yield (
                f"model.strides[{index}]={stride}: does not divide the image, which is {size}x{size} there "
                f"({dataset} starts at {shape[1]}x{shape[2]}); use a stride that does, or fewer strided layers."
            )
            return
        if kernel_size > size:
            yield (
                f"{place}: larger than the image, which is {size}x{size} there ({dataset} starts at "
                f"{shape[1]}x{shape[2]}); use a kernel of at most {size - size % stride}, or fewer strided layers."
            )
            return
        size //= stride


def _check_activation(config: Any) -> Iterator[str]:
    groups = {"maxmin": 2, "groupsort": getattr(config.activation, "group_size", None)}.get(config.activation.name)
    if groups is None:
        return
    for key in ("channels", "hidden"):
        for index, width in enumerate(getattr(config.model, key, [])):
            if width % groups:
                yield (
                    f"model.{key}[{index}]={width}: activation={config.activation.name} sorts groups of {groups}, so "
                    f"this must be a multiple of {groups}; the nearest is {groups * max(1, round(width / groups))}."
                )
