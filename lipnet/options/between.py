"""What must hold between keys and between options."""

import math
from collections.abc import Iterator
from typing import Any

from lipnet.errors import UserError
from lipnet.options.facts import inputs_and_outputs, trainer
from lipnet.options.images import Dataset
from lipnet.options.layers import Spline
from lipnet.options.messages import multiples, option_name, show
from lipnet.options.models import ConesModel, ConvNet, Critic, GanCritic, OwnModule, ResidualNet, ShuffleNet
from lipnet.options.online import check_online, check_stream_choices
from lipnet.options.option import Named
from lipnet.options.pairs import Estimate, GanPair, Pair
from lipnet.options.posteriors import Classification, check_bayes, check_problem_choices
from lipnet.options.private import check_private
from lipnet.options.readers import run_readers
from lipnet.options.registry import GROUPS, Option, image_sets, is_for, is_image, names_for, unread_groups
from lipnet.options.residual import check_residual
from lipnet.options.streams import Stream
from lipnet.options.tasks import PACKAGES, Export, Private


def check_choices(task: Any, dataset: Any, loss: Any, run: Any = None, model: Any = None) -> Iterator[str]:
    """Labelled images are classified, distributions are told apart: task, data set and loss must agree on which.

    Args:
        run: the directory of the finished run that a task reads; such a task takes what the run was trained with.
    """
    mismatch = list(check_problem_choices(task, dataset, loss)) or list(check_stream_choices(task, dataset, loss))
    if dataset not in GROUPS["dataset"] or mismatch:
        yield from mismatch
        return
    data = GROUPS["dataset"][dataset].data
    wanted = GROUPS["task"][task].data if task in GROUPS["task"] else ""
    learned = trainer(task, run, model, dataset)
    losses = learned.losses if learned is not None else ()
    if data == "pair" and wanted == "images":
        others = f"dataset={', '.join(image_sets() if losses else names_for('dataset', 'images'))}"
        if losses:
            yield f"dataset={dataset}: a pair of distributions, and task={task} learns images; use {others}."
        else:
            yield (
                f"dataset={dataset}: a pair of distributions without labels, and task={task} classifies; "
                f"use task=wasserstein, or {others}."
            )
    if data == "images" and wanted == "pair":
        yield (
            f"dataset={dataset}: labelled images, and task={task} compares two distributions; choose a pair, "
            f"dataset={', '.join(names_for('dataset', 'pair'))}."
        )
    if data == "images" and losses:
        if loss not in losses:
            name = learned.name if learned is not None else task
            yield f"loss={loss}: task={name} trains with the critic's, {', '.join(losses)}; leave it out."
    elif learned is None and task in GROUPS["task"] and loss in _brought_along(data):
        return  # of a run that is not there any more
    elif loss in GROUPS["loss"] and GROUPS["loss"][loss].data not in ("", data):
        fitting = ", ".join(names_for("loss", data))
        if data == "pair":
            yield f"loss={loss}: needs labels, and dataset={dataset} is a pair of distributions; use loss={fitting}."
        else:
            yield f"loss={loss}: needs a pair of distributions, not dataset={dataset}; use loss={fitting}."


def _brought_along(data: str) -> list[str]:
    """The losses that tasks for such data bring along."""
    return [loss for option in GROUPS["task"].values() if option.data == data for loss in option.losses]


def unread_keys(config: Any) -> dict[str, str]:
    """Keys (or groups of them) that a run of this configuration would not read, each with the reason."""
    task, dataset, model = (option_name(config.get(group)) for group in ("task", "dataset", "model"))
    unread = dict.fromkeys(unread_groups(model), f"model={model} does not read it")
    learned = trainer(task, config.get("run"), model, dataset)
    if learned is None:  # the checks say what is wrong with the task, or the run that it reads
        return unread
    unread |= dict.fromkeys(learned.unread, f"task={learned.name} does not read it")
    readers: dict[str, list[Option]] = {}
    for option in GROUPS["task"].values():
        for key in option.reads:
            readers.setdefault(key, []).append(option)
    others = {key: tasks for key, tasks in readers.items() if learned not in tasks}
    return unread | {key: _only(tasks, dataset) for key, tasks in others.items()}


def _only(readers: list[Option], dataset: Any) -> str:
    """Who reads a key, and whether the data set alone keeps it from being read."""
    names = ", ".join(option.name for option in readers)
    reason = f"only task={names} {'reads' if len(readers) == 1 else 'read'} it"
    if any(is_for(option.data, dataset) for option in readers):
        return reason
    kinds = {
        "pair": "is a pair of distributions", "stream": "is a stream", "problem": "has constraints",
        "images": "holds labelled images",
    }  # fmt: skip
    data = next((data for data in kinds if is_for(data, dataset)), "images")
    return f"{reason}, and dataset={dataset} {kinds[data]}"


def check_between_keys(config: Any) -> Iterator[str]:
    """What must hold between keys, as far as the keys themselves are right (a wrong one is ``None``)."""
    if config.debug == "overfit" and isinstance(config.dataset, Pair):
        yield (
            f"debug=overfit: needs labels, and dataset={config.dataset.name} is a pair of distributions; "
            "use debug=fast."
        )
    names = [None if option is None else option.name for option in (config.model, config.dataset)]
    learned = None if config.task is None else trainer(config.task.name, config.run, *names)
    if config.task is not None:
        yield from _check_task(config, learned)
        yield from check_bayes(config, learned)
        yield from check_online(config, learned)
    if isinstance(config.dataset, GanPair) and None in (config.dataset.run, config.dataset.source):
        yield _no_gan(config.dataset.run)
    elif config.dataset is not None and (shape := _shape(config.dataset)) is not None:
        if isinstance(config.dataset, Dataset):
            yield from _check_normalisation(config.dataset, shape[0])
            if not is_image(shape):
                yield from _check_points(config)
        elif isinstance(config.dataset, Pair) and config.estimate is not None:
            yield from _check_pair(config.dataset, config.estimate)
        if isinstance(config.model, ConvNet):
            yield from _check_conv_net(config.model, config.dataset.name, shape, _takes_any_kernel(config.conv))
        if isinstance(config.model, ShuffleNet):
            yield from _check_shufflenet(config.model, config.dataset.name, shape)
        if isinstance(config.model, ResidualNet):
            yield from check_residual(config.model, config.conv, config.dataset.name, shape)
        if isinstance(config.model, ConesModel) and isinstance(config.dataset, Dataset | Classification):
            yield f"model=cones: has one output, and dataset={config.dataset.name} has classes; use small, large, fc."
        if learned is not None and "generator" in learned.reads:
            yield from _check_gan(config, shape)
    if isinstance(config.dataset, Dataset) and config.conformal is not None:
        yield from _check_conformal(config)
    if getattr(config.loss, "per_pair", False) and config.model is not None:
        yield from _check_pairs_of_classes(config)
    if config.activation is not None and config.model is not None:
        yield from _check_activation(config)
    if isinstance(config.model, ConvNet) and config.conv is not None:
        yield from _check_groups(config)
    if isinstance(config.model, ShuffleNet) and config.shuffle is not None:
        yield from _check_shuffle_of_units(config.model, config.shuffle)


def _shape(dataset: Any) -> tuple[int, ...] | None:
    """Of a network's inputs; ``None`` of a stream, and where data cannot be used, or are not there any more."""
    if isinstance(dataset, Stream):
        return None
    try:
        return inputs_and_outputs(dataset)[0]
    except UserError:
        return None


def _check_task(config: Any, learned: Option | None) -> Iterator[str]:
    """Whether the task has the run that it reads, and the network and the outputs that it needs.

    Args:
        learned: the task that trains the network, or has trained it.
    """
    task, readers = config.task.name, run_readers()
    elsewhere = task == "evaluate" and isinstance(config.model, OwnModule) and config.model.weights is not None
    if task in readers and not config.run and not elsewhere:
        yield f"run=null: task={task} needs run=DIR, the directory of a finished run."
    if elsewhere and not config.run and learned is None and config.dataset is not None:
        yield (
            f"dataset={config.dataset.name}: nothing is measured of a single network on it; task=evaluate takes "
            "labelled images and pairs of distributions."
        )
    if task in readers and config.resume:
        yield f"resume and task={task} do not go together: {task} a run with run=DIR alone."
    if task not in readers and config.run and not isinstance(config.dataset, GanPair):
        listed = ", ".join(f"task={name}" for name in readers)
        yield f"run={config.run}: only {listed} and dataset=gan read it; to continue a run use resume=DIR."
    if isinstance(config.task, Export) and config.task.assured:
        if isinstance(config.dataset, Pair):
            yield f"task.assured=true: a critic of dataset={config.dataset.name} predicts no class; leave it out."
        elif learned is not None and "eval_radii" not in learned.reads:
            yield f"task.assured=true: a network of task={learned.name} predicts no class; leave it out."
        elif isinstance(config.model, ShuffleNet):
            yield "task.assured=true: of model=shufflenet nothing is proved that settles a prediction; leave it out."
    if isinstance(config.model, OwnModule) and ":" not in (config.model.build or ""):
        given = show(config.model.build)
        yield f"model.build={given}: model=module needs the function that returns the network, as my_module:build."
    if isinstance(config.model, GanCritic) and learned is not None and learned.name != "gan":
        yield "model=gan_critic: has no Lipschitz constant that could be proved; only task=gan trains it."
    centred = getattr(config.model, "centering", False)
    if centred and learned is not None and learned.name not in ("robustness", "private"):
        yield (
            "model.centering=true: a critic would subtract other means of each side of a pair; only task=robustness "
            "trains such a network."
        )
    if isinstance(config.task, Private):
        yield from check_private(config)
    elif isinstance(config.model, ShuffleNet) and learned is not None and learned.name != "robustness":
        yield "model=shufflenet: nothing bounds such a critic; only task=robustness trains it."


def _no_gan(run: str | None) -> str:
    if run is None:
        return "run=null: dataset=gan needs run=DIR, the directory of a finished run of task=gan."
    return (
        f"dataset.run={run}: not the directory of a run of task=gan; train one with task=gan dataset=mnist, and give "
        "its directory."
    )


def _check_gan(config: Any, shape: tuple[int, ...]) -> Iterator[str]:
    """What the generator and the critics of a GAN need of the image and of each other."""
    if isinstance(config.dataset, Dataset) and not is_image(shape):
        others = ", ".join(image_sets())
        yield f"dataset={config.dataset.name}: draws points, and task=gan generates images; use dataset={others}."
        return
    if config.generator is not None:
        yield from _check_doublings("generator.channels", config.generator.channels, shape)
    if isinstance(config.model, GanCritic):
        yield from _check_doublings("model.channels", config.model.channels, shape)
    elif config.model is not None:
        layers = [group for group in ("conv", "linear") if group in GROUPS["model"][config.model.name].reads]
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
        count = len(getattr(dataset, key) or [0] * channels)  # null: found
        if count != channels:
            yield f"dataset.{key} has {count} entries: {dataset.name} has {channels} channels, one entry each."


def _check_points(config: Any) -> Iterator[str]:
    """What takes images, and makes no sense of points."""
    name = config.dataset.name
    if config.dataset.crop:
        yield f"dataset.crop={config.dataset.crop}: shifts images, and dataset={name} draws points; use 0."
    packaged = [attack for attack in config.attack.names if attack in PACKAGES] if config.attack is not None else []
    if packaged:
        yield f"attack.names={show(packaged)}: they change images, and dataset={name} draws points; leave them out."


def _check_pair(pair: Pair, estimate: Estimate) -> Iterator[str]:
    for key in ("radii", "scales", "classes"):
        if len(set(getattr(pair, key, (0, 1)))) == 1:
            yield (
                f"dataset.{key}={show(getattr(pair, key))}: two equal distributions, at distance 0; "
                "use different numbers."
            )
    # Below this number the range term of the empirical Bernstein bound alone exceeds the range.
    least = 2 + math.floor(7 * math.log(4 / (1 - estimate.confidence)) / 3)
    if pair.evaluation_samples is not None and pair.evaluation_samples < least:  # else found
        yield (
            f"dataset.evaluation_samples={pair.evaluation_samples}: too few to prove anything with "
            f"estimate.confidence={estimate.confidence}; use at least {least}."
        )


def _takes_any_kernel(conv: Named | None) -> bool:
    """Whether kernels need not be multiples of their strides; nothing is said of a convolution with other mistakes."""
    return conv is None or GROUPS["conv"][conv.name].any_kernel


def _check_conv_net(model: ConvNet, dataset: str, shape: tuple[int, ...], any_kernel: bool) -> Iterator[str]:
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
        if kernel_size % stride and not any_kernel:
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


def _check_shufflenet(model: ShuffleNet, dataset: str, shape: tuple[int, ...]) -> Iterator[str]:
    """Whether every unit has channels to add and to split, and every stage an image."""
    if len(shape) != 3:
        yield f"model={model.name}: needs images, and dataset={dataset} draws vectors; use model=fc."
        return
    if None in (model.groups, model.stem, model.channels, model.width, model.units):
        return
    if len(model.channels) != len(model.units):
        yield (
            f"model.channels has {len(model.channels)}, model.units has {len(model.units)}: these lists describe the "
            "stages and must have one entry for each."
        )
        return
    size = min(shape[1:])
    for _ in model.channels:
        size = (size + 1) // 2
    if size < 2:
        yield (
            f"model.channels has {len(model.channels)} entries: each halves the image, and nothing of {shape[1]}x"
            f"{shape[2]} would be left; use fewer."
        )
    together, before = 4 * model.groups, model.stem
    for index, width in enumerate(model.widths):
        place = _stage(model, index)
        if width % together or not width:
            yield (
                f"{place}: a unit works on a quarter of its channels, in model.groups={model.groups} groups, so this "
                f"must be a multiple of {together}; the nearest is {together * max(1, round(width / together))}."
            )
            return
        if width <= before or (width - before) % model.groups:
            begins = "the stage before" if index else "model.stem"
            yield (
                f"{place}: the first unit of a stage adds channels to those of {begins}, {before}, in model.groups="
                f"{model.groups} groups; use {before} and a multiple of {model.groups}."
            )
            return
        before = width


def _stage(model: ShuffleNet, index: int) -> str:
    """The channels of a stage, as they are to be named."""
    written = f"model.channels[{index}]={model.channels[index]}"
    return written if model.width == 1 else f"{written} times model.width={model.width:g} is {model.widths[index]}"


def _check_shuffle_of_units(model: ShuffleNet, shuffle: Any) -> Iterator[str]:
    """Whether there are groups to shuffle between, and pairs to move."""
    if shuffle.name == "none" or None in (model.groups, model.channels, model.width):
        return
    if model.groups == 1:
        yield (
            f"shuffle={shuffle.name}: stands between grouped convolutions, and model.groups=1 mixes all channels; use "
            "more groups, such as model.groups=3, or leave it out."
        )
    elif getattr(shuffle, "keep_pairs", False):
        together = 4 * _moved_together(shuffle, model.groups)
        for index, width in enumerate(model.widths):
            if width % together:
                yield (
                    f"{_stage(model, index)}: shuffle.keep_pairs=true moves pairs of a quarter of these channels, so "
                    f"this must be a multiple of {together}; the nearest is "
                    f"{together * max(1, round(width / together))}."
                )


def _check_conformal(config: Any) -> Iterator[str]:
    """Whether there are examples to calibrate on."""
    alpha = config.conformal.alpha
    if alpha is not None and config.conformal.calibration == "validation" and config.dataset.validation == 0:
        yield (
            f"conformal.alpha={alpha:g}: is calibrated on held-out examples, and dataset.validation=0 holds out none; "
            "use conformal.calibration=test, or hold some out."
        )


def _check_pairs_of_classes(config: Any) -> Iterator[str]:
    """Whether something bounds what is before the last layer, whose rows give pairs of classes their margins."""
    model, reads = config.model, GROUPS["model"][config.model.name].reads
    if isinstance(model, ShuffleNet):
        yield f"loss.per_pair=true: nothing bounds model={model.name}; use loss.per_pair=false."
    plain = [group for group in ("conv", "linear") if getattr(getattr(config, group), "name", None) == "plain"]
    if "linear" in plain and not getattr(model, "hidden", None):
        plain.remove("linear")  # the last layer itself may be anything
    for group in plain:
        if group in reads:
            yield (
                f"loss.per_pair=true: with {group}=plain nothing bounds what is before the last layer; use constrained "
                "layers, or loss.per_pair=false."
            )


def _check_activation(config: Any) -> Iterator[str]:
    activation, model = GROUPS["activation"][config.activation.name], GROUPS["model"][config.model.name]
    if "activation" not in model.reads:
        return
    if isinstance(config.activation, Spline):
        yield from _check_spline(config.activation)
    together = activation.groups(config.activation) if activation.groups else None
    if together is None:
        return
    for key in ("channels", "hidden"):
        reason = f"activation={config.activation.name} sorts groups of {together}"
        yield from multiples(f"model.{key}", getattr(config.model, key, []), together, reason)


def _check_groups(config: Any) -> Iterator[str]:
    """Whether channels can be split into groups, and whether there is a place for a shuffle and something to move."""
    model, conv, shuffle = config.model, config.conv.name, config.shuffle
    groups, widths = config.conv.own_keys().get("groups"), model.channels or []
    if groups is not None and groups > 1:
        if len(widths) == 1:
            yield (
                f"conv.groups={groups}: model.channels has one entry, and the first convolution is never grouped; "
                "leave it out, or use two convolutions or more."
            )
        else:
            yield from multiples("model.channels", widths, groups, f"conv.groups={groups} splits them")
    if shuffle is None or shuffle.name == "none":
        return
    if groups is None:
        yield (
            f"shuffle={shuffle.name}: stands between grouped convolutions, and conv={conv} has no groups; leave it out."
        )
    elif groups == 1:
        yield (
            f"shuffle={shuffle.name}: stands between grouped convolutions, and conv.groups=1 mixes all channels; use "
            "more groups, such as conv.groups=4, or leave it out."
        )
    elif len(widths) == 2:
        yield (
            f"shuffle={shuffle.name}: stands between grouped convolutions, and of two the first is never grouped; use "
            "model=large, or three entries or more of model.channels."
        )
    elif getattr(shuffle, "keep_pairs", False):
        together = _moved_together(shuffle, groups)
        yield from multiples("model.channels", widths[1:-1], together, "shuffle.keep_pairs=true moves pairs", first=1)


def _moved_together(shuffle: Any, groups: int) -> int:
    """What the channels are a multiple of if pairs of them move: the fixed permutation takes whole pairs of groups."""
    fixed = shuffle.name == "fixed" or getattr(shuffle, "initial", None) == "fixed"
    return 2 * groups if fixed else math.lcm(2, groups)


def _check_spline(option: Spline) -> Iterator[str]:
    if option.shared and option.initial == "pairs":
        yield (
            "activation.initial=pairs: needs a spline for each channel, and activation.shared=true has one for all; "
            "use identity, abs, relu."
        )
    if option.steep and not option.constrained:
        yield (
            f"activation.steep={option.steep:g}: free slopes (activation.constrained=false) would grow without end; "
            "use 0."
        )
