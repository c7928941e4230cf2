"""From a composed configuration to a checked one. Imports no torch.

A key that the schema does not declare is an error. All problems of a configuration are collected and reported together.
"""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lipnet.data.facts import DATASETS, inputs_and_outputs
from lipnet.errors import UserError
from lipnet.schema import (
    GROUPS,
    PAIRS,
    Attack,
    ConesModel,
    Config,
    ConvNet,
    Critic,
    Dataset,
    Estimate,
    Export,
    GanCritic,
    GanPair,
    Generator,
    Pair,
)  # fmt: skip

# Groups of keys without options.
NODES: dict[str, type] = {"attack": Attack, "estimate": Estimate, "generator": Generator}


def config_dir() -> Path:
    """The folder of configurations: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parent
    checkout = package.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else package / "conf"


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
    unresolved: Any = OmegaConf.to_container(config) if isinstance(config, DictConfig) else config
    problems = list(_check_choices(*(_name(unresolved.get(group)) for group in ("task", "dataset", "loss"))))
    try:
        raw: Any = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    except OmegaConfBaseException as error:  # a loss asks the wrong kind of data set for a key: said already
        return None, problems or [f"{error.full_key or 'this configuration'}: {str(error).splitlines()[0]}."]
    values = _parse_fields(Config, raw, "", problems)
    if raw.get("eval_radii", ()) is None and not problems and isinstance(values["dataset"], Dataset):
        problems.append("eval_radii=null: a classifier is certified at radii > 0, such as [0.3,36/255].")
    problems += _between_keys(SimpleNamespace(**values))
    return (None if problems else Config(**values)), problems


def _parse_node(schema: type, raw: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(raw, Mapping):
        group = path.rstrip(".")
        problems.append(f"{group}={show(raw)}: must be a group of keys; choose an option or override a key in it.")
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
        problems.append(f"{path}={show(value)}: {error}.")
        return None


def _parse_option(group: str, raw: Any, problems: list[str]) -> Any:
    if group in NODES:
        return _parse_node(NODES[group], raw, f"{group}.", problems)
    options = GROUPS[group]
    name = _name(raw)
    if name not in options:
        problems.append(unknown_option(group, show(name), options))
        return None
    return _parse_node(options[name], raw, f"{group}.", problems)


def _name(raw: Any) -> Any:
    name = raw.get("name") if isinstance(raw, Mapping) else raw
    return name if name is None or isinstance(name, str) else show(name)


def show(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, list):
        return f"[{','.join(show(entry) for entry in value)}]"
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def unknown_option(group: str, given: str, options: Iterable[str]) -> str:
    """The message for ``group=given``, with the nearest option."""
    options = list(options)
    return f"{group}={given}: no such option;{_nearest(given, options)} {group} takes {', '.join(options)}."


def unknown_key(given: str, known: Iterable[str]) -> str:
    """The message for a key that nothing reads: with the key that was meant, or the option that has it."""
    known = [key for key in known if key != "name" and not key.endswith(".name")]
    group, _, name = given.rpartition(".")
    beside = [key for key in known if key.rpartition(".")[0] == group]
    elsewhere = [key for key in known if key.rpartition(".")[2] == name]
    others = list(_options_with(name, group))
    if elsewhere:
        hint = f" did you mean {elsewhere[0]}?"
    elif others:
        hint = f" {others[0]} has {others[0].partition('=')[0]}.{name}."
    else:
        names = [key.rpartition(".")[2] for key in beside] if group else beside
        cutoff = 0.5 if group else 0.55  # among many names, one is near by chance
        hint = _nearest(name, names, f"{group}." if group else "", cutoff) if beside else _nearest(given, known)
    listed = f" Keys there: {', '.join(beside)}." if beside else ""
    return f"{given}: no such key, nothing would read it;{hint}{listed}"


def _options_with(name: str, group: str) -> Iterator[str]:
    """``group=option`` of every option that has a key of this name, in the given group or, without one, in any."""
    for other, options in GROUPS.items():
        for option, schema in options.items():
            if group in ("", other) and name != "name" and name in {field.name for field in dataclasses.fields(schema)}:
                yield f"{other}={option}"


def _nearest(given: str, names: list[str], prefix: str = "", cutoff: float = 0.5) -> str:
    close = difflib.get_close_matches(given, names, n=1, cutoff=cutoff)
    return f" did you mean {prefix}{close[0]}?" if close else " see --help for the names."


def _check_choices(task: Any, dataset: Any, loss: Any) -> Iterator[str]:
    """Labelled images are classified, pairs of laws are told apart: task, data set and loss must agree on which."""
    if dataset not in GROUPS["dataset"]:
        return
    if dataset in PAIRS and task == "robustness":
        yield (
            f"dataset={dataset}: a pair of laws without labels, and task=robustness classifies; use task=wasserstein, "
            f"or dataset={', '.join(DATASETS)}."
        )
    if dataset in PAIRS and task == "gan":
        yield f"dataset={dataset}: a pair of laws, and task=gan learns images; use dataset={', '.join(DATASETS)}."
    if dataset in DATASETS and task == "wasserstein":
        yield (
            f"dataset={dataset}: labelled images, and task=wasserstein compares two laws; choose a pair, "
            f"dataset={', '.join(PAIRS)}."
        )
    if dataset in PAIRS and loss in ("margin", "cross_entropy"):
        yield f"loss={loss}: needs labels, and dataset={dataset} is a pair of laws; use loss=kantorovich."
    if dataset in DATASETS and task == "gan" and loss != "kantorovich":
        yield f"loss={loss}: task=gan trains with the critic's, kantorovich; leave it out."
    if dataset in DATASETS and task != "gan" and loss == "kantorovich":
        yield f"loss=kantorovich: needs a pair of laws, not dataset={dataset}; use loss=margin, cross_entropy."


def unread_keys(config: Any) -> dict[str, str]:
    """Keys (or groups of them) that a run of this configuration would not read, each with the reason."""
    task, dataset = _name(config.get("task")), _name(config.get("dataset"))
    of_classifiers = ("attack", "certify_dtype", "eval_radii")
    if task == "gan":
        return dict.fromkeys((*of_classifiers, "estimate"), "task=gan does not read it")
    unread = {} if task in ("evaluate", "export") else {"generator": "only task=gan reads it"}  # its message says more
    if dataset in PAIRS:
        reason = f"only classifiers read it, and dataset={dataset} is a pair of laws"
        return unread | dict.fromkeys(of_classifiers, reason)
    return unread | {"estimate": f"only task=wasserstein reads it, and dataset={dataset} holds labelled images"}


def _between_keys(config: Any) -> Iterator[str]:
    """What must hold between keys, as far as the keys themselves are right (a wrong one is ``None``)."""
    if config.debug == "overfit" and isinstance(config.dataset, Pair):
        yield f"debug=overfit: needs labels, and dataset={config.dataset.name} is a pair of laws; use debug=fast."
    if config.task is not None:
        yield from _check_task(config)
    if isinstance(config.dataset, GanPair) and None in (config.dataset.run, config.dataset.source):
        yield _no_gan(config.dataset.run)
    elif config.dataset is not None:
        shape, _ = inputs_and_outputs(config.dataset)
        if isinstance(config.dataset, Dataset):
            yield from _check_normalisation(config.dataset, shape[0])
        elif config.estimate is not None:
            yield from _check_pair(config.dataset, config.estimate)
        if isinstance(config.model, ConvNet):
            yield from _check_conv_net(config.model, config.dataset.name, shape)
        if isinstance(config.model, ConesModel) and isinstance(config.dataset, Dataset):
            yield f"model=cones: has one output, and dataset={config.dataset.name} has classes; use small, large, fc."
        if config.task is not None and config.task.name == "gan":
            yield from _check_gan(config, shape)
    if config.activation is not None and config.model is not None:
        yield from _check_activation(config)


def _check_task(config: Any) -> Iterator[str]:
    task = config.task.name
    reads_run = task in ("evaluate", "export")
    if reads_run and not config.run:
        yield f"run=null: task={task} needs run=DIR, the directory of a finished run."
    if reads_run and config.resume:
        yield f"resume and task={task} do not go together: {task} a run with run=DIR alone."
    if not reads_run and config.run and not isinstance(config.dataset, GanPair):
        yield (
            f"run={config.run}: only task=evaluate, task=export and dataset=gan read it; to continue a run use "
            "resume=DIR."
        )
    if isinstance(config.task, Export) and config.task.assured and isinstance(config.dataset, Pair):
        yield f"task.assured=true: a critic of dataset={config.dataset.name} predicts no class; leave it out."
    if isinstance(config.model, GanCritic) and config.task.name != "gan":
        yield "model=gan_critic: has no Lipschitz constant that could be proved; only task=gan trains it."


def _no_gan(run: str | None) -> str:
    if run is None:
        return "run=null: dataset=gan needs run=DIR, the directory of a finished run of task=gan."
    return (
        f"dataset.run={run}: not the directory of a run of task=gan; train one with task=gan dataset=mnist, and give "
        "its directory."
    )


def _check_gan(config: Any, shape: tuple[int, ...]) -> Iterator[str]:
    """What the generator and the critics of a GAN need of the image and of each other."""
    if config.generator is not None:
        yield from _check_doublings("generator.channels", config.generator.channels, shape)
    if isinstance(config.model, GanCritic):
        yield from _check_doublings("model.channels", config.model.channels, shape)
    else:
        layers = ("conv", "linear") if isinstance(config.model, ConvNet) else ("linear",)
        plain = [f"{group}=plain" for group in layers if getattr(getattr(config, group), "name", None) == "plain"]
        if plain:
            yield (
                f"{', '.join(plain)}: nothing bounds such a critic, and its loss has no minimum; use constrained "
                "layers, or model=gan_critic, whose gradient is penalised."
            )
    if config.debug == "overfit":
        yield "debug=overfit: a GAN has no loss that one batch would bring to its minimum; use debug=fast."
    if config.batch_size == 1:
        yield "batch_size=1: the generator normalises over a batch; use at least 2."
    if config.compile or config.amp == "bf16":
        yield "compile=true or amp=bf16: task=gan does not read them; leave them out."


def _check_doublings(key: str, channels: list[int], shape: tuple[int, ...]) -> Iterator[str]:
    factor = 2 ** len(channels)
    if any(size % factor for size in shape[1:]):
        yield (
            f"{key} has {len(channels)} entries: each halves the image, and {shape[1]}x{shape[2]} cannot be divided "
            f"by {factor}; use fewer."
        )


def _check_normalisation(dataset: Dataset, channels: int) -> Iterator[str]:
    for key in ("mean", "std"):
        count = len(getattr(dataset, key))
        if count != channels:
            yield f"dataset.{key} has {count} entries: {dataset.name} has {channels} channels, one entry each."


def _check_pair(pair: Pair, estimate: Estimate) -> Iterator[str]:
    for key in ("radii", "scales", "classes"):
        if len(set(getattr(pair, key, (0, 1)))) == 1:
            yield f"dataset.{key}={show(getattr(pair, key))}: two equal laws, at distance 0; use different numbers."
    # Below this number the range term of the empirical Bernstein bound alone exceeds the range.
    least = 2 + math.floor(7 * math.log(4 / (1 - estimate.confidence)) / 3)
    if pair.evaluation_samples < least:
        yield (
            f"dataset.evaluation_samples={pair.evaluation_samples}: too few to prove anything with "
            f"estimate.confidence={estimate.confidence}; use at least {least}."
        )


def _check_conv_net(model: ConvNet, dataset: str, shape: tuple[int, ...]) -> Iterator[str]:
    if len(shape) != 3:
        yield f"model={model.name}: needs images, and dataset={dataset} draws vectors; use model=fc."
        return
    counts = {key: len(getattr(model, key)) for key in ("channels", "kernel_sizes", "strides")}
    if len(set(counts.values())) > 1 or not model.channels:
        listed = ", ".join(f"model.{key} has {count}" for key, count in counts.items())
        yield f"{listed}: these lists describe the convolutions and must have one entry for each."
        return
    size = max(shape[1], model.image_size) if isinstance(model, Critic) else shape[1]
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
    if groups is None or isinstance(config.model, GanCritic):
        return
    for key in ("channels", "hidden"):
        for index, width in enumerate(getattr(config.model, key, [])):
            if width % groups:
                yield (
                    f"model.{key}[{index}]={width}: activation={config.activation.name} sorts groups of {groups}, so "
                    f"this must be a multiple of {groups}; the nearest is {groups * max(1, round(width / groups))}."
                )
