"""The schema: every key of every option, with its range. Defaults live in ``conf/`` alone."""

from dataclasses import dataclass
from typing import Any

from lipnet.checks import (
    boolean,
    checked,
    list_of,
    number,
    one_of,
    optional,
    path,
    radii,
    radii_or_none,
    seed,
    some_of,
    text,
    whole,
)  # fmt: skip


@dataclass(frozen=True)
class Named:
    """An option without keys of its own."""

    name: str = checked(text)


@dataclass(frozen=True)
class Robustness(Named):
    select_by: str = checked(one_of("certified_accuracy", "certified_accuracy_per_pair", "clean_accuracy", "loss"))


@dataclass(frozen=True)
class GanTraining(Named):
    critic_steps: int = checked(whole(1))
    samples_every: int = checked(whole(0))


@dataclass(frozen=True)
class Export(Named):
    onnx: bool = checked(boolean)
    assured: bool = checked(boolean)


@dataclass(frozen=True)
class ConvNet(Named):
    channels: list[int] = checked(list_of(whole(1)))
    kernel_sizes: list[int] = checked(list_of(whole(1)))
    strides: list[int] = checked(list_of(whole(1)))
    hidden: list[int] = checked(list_of(whole(1)))
    head: str = checked(one_of("same", "normalized"))


@dataclass(frozen=True)
class Critic(ConvNet):
    image_size: int = checked(whole(1))


@dataclass(frozen=True)
class FullyConnected(Named):
    hidden: list[int] = checked(list_of(whole(1)))
    head: str = checked(one_of("same", "normalized"))


@dataclass(frozen=True)
class GanCritic(Named):
    """Unconstrained, with batch normalisation: of ``task=gan`` only."""

    channels: list[int] = checked(list_of(whole(1), at_least=1))
    hidden: list[int] = checked(list_of(whole(1)))
    penalty: float = checked(number(above=0))


@dataclass(frozen=True)
class ConesModel(Named):
    cones: int = checked(whole(1))
    apices: str = checked(one_of("first", "second"))


@dataclass(frozen=True)
class PlainConv(Named):
    padding_mode: str = checked(one_of("circular", "zeros"))


@dataclass(frozen=True)
class BCOP(PlainConv):
    orthogonalizer: str = checked(one_of("cholesky", "bjorck"))


@dataclass(frozen=True)
class Iterated(Named):
    iterations: int = checked(whole(1))


@dataclass(frozen=True)
class OSSN(PlainConv):
    iterations: int = checked(whole(1))


@dataclass(frozen=True)
class SVCM(Iterated):
    every: int = checked(whole(1))


@dataclass(frozen=True)
class GroupSort(Named):
    group_size: int | None = checked(optional(whole(2)))


@dataclass(frozen=True)
class Dataset(Named):
    validation: float = checked(number(at_least=0, at_most=0.5))
    limit_train: int | None = checked(optional(whole(1)))
    limit_test: int | None = checked(optional(whole(1)))
    crop: int = checked(whole(0))
    mean: list[float] = checked(list_of(number(), at_least=1))
    std: list[float] = checked(list_of(number(above=0), at_least=1))
    epsilon: float = checked(number(above=0, fractions=True))
    eval_radii: list[str] = checked(radii)


@dataclass(frozen=True)
class StoredDataset(Dataset):
    root: str = checked(path)
    download: bool = checked(boolean)


@dataclass(frozen=True)
class AugmentedDataset(StoredDataset):
    augment: bool = checked(boolean)


IMAGE_SETS: dict[str, type] = {
    "digits": Dataset, "mnist": StoredDataset, "fashion_mnist": StoredDataset, "cifar10": AugmentedDataset,
    "stl10": AugmentedDataset,
}  # fmt: skip


@dataclass(frozen=True)
class Pair(Named):
    """Two laws between which a Wasserstein distance is estimated; every one has these keys."""

    seed: int = checked(seed(bits=63))
    steps_per_epoch: int = checked(whole(1))
    selection_samples: int = checked(whole(2))
    evaluation_samples: int = checked(whole(2))


@dataclass(frozen=True)
class VectorPair(Pair):
    dimension: int = checked(whole(1))


@dataclass(frozen=True)
class ShiftPair(VectorPair):
    distance: float = checked(number(above=0))


@dataclass(frozen=True)
class PartialMass(ShiftPair):
    fraction: float = checked(number(above=0, at_most=1))


@dataclass(frozen=True)
class ConePair(VectorPair):
    radius: float = checked(number(above=0))


@dataclass(frozen=True)
class Nuisance(ConePair):
    dimension: int = checked(whole(2))
    scale: float = checked(number(at_least=0))


@dataclass(frozen=True)
class Spheres(VectorPair):
    radii: list[float] = checked(list_of(number(above=0), length=2))


@dataclass(frozen=True)
class ScaledGaussians(VectorPair):
    scales: list[float] = checked(list_of(number(above=0), length=2))


@dataclass(frozen=True)
class Discrete(VectorPair):
    atoms: int = checked(whole(1, at_most=2000))


@dataclass(frozen=True)
class MinFunnel(VectorPair):
    funnels: int = checked(whole(1))
    degree: float = checked(number(at_least=1))


@dataclass(frozen=True)
class ImagePair(Pair):
    source: str = checked(one_of(*IMAGE_SETS))
    root: str = checked(path)
    download: bool = checked(boolean)


@dataclass(frozen=True)
class NearestAnchor(ImagePair):
    anchors: int = checked(whole(1))
    shrink: float = checked(number(above=0, at_most=1))


@dataclass(frozen=True)
class TwoClasses(ImagePair):
    classes: list[int] = checked(list_of(whole(0), length=2))
    atoms: int = checked(whole(1, at_most=5000))


@dataclass(frozen=True)
class TwoImages(ImagePair):
    first: int = checked(whole(0))
    second: int = checked(whole(0))


@dataclass(frozen=True)
class GanPair(Pair):
    source: str | None = checked(optional(one_of(*IMAGE_SETS)))  # None: ``run`` does not say
    root: str = checked(path)
    download: bool = checked(boolean)
    run: str | None = checked(optional(path))


PAIRS: dict[str, type] = {
    "absolute_value": ShiftPair, "three_cones": ConePair, "cone": ConePair, "translation": ShiftPair,
    "spheres": Spheres, "scaled_gaussians": ScaledGaussians, "partial_mass": PartialMass, "nuisance": Nuisance,
    "nearest_anchor": NearestAnchor, "discrete": Discrete, "two_images": TwoImages, "minfunnel": MinFunnel,
    "two_classes": TwoClasses, "gan": GanPair,
}  # fmt: skip


@dataclass(frozen=True)
class Margin(Named):
    epsilon: float = checked(number(above=0, fractions=True))


@dataclass(frozen=True)
class CrossEntropy(Named):
    epsilon: float = checked(number(at_least=0, fractions=True))
    temperature: float = checked(number(above=0))


@dataclass(frozen=True)
class Optimizer(Named):
    lr: float = checked(number(above=0, at_most=100))
    weight_decay: float = checked(number(at_least=0))


@dataclass(frozen=True)
class Adam(Optimizer):
    betas: list[float] = checked(list_of(number(at_least=0, below=1), length=2))


@dataclass(frozen=True)
class AdamW(Adam):
    """Decoupled decay. A constrained layer has the same weight at every norm of its parameters, which grows in training
    and shortens what a step does; L2 regularisation would only change the gradient that Adam divides by.
    """


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


FOOLBOX_ATTACKS = ("boundary", "pointwise")
NEAREST_ATTACKS = ("ddn", *FOOLBOX_ATTACKS)  # they look for the nearest error, whatever the radius
# Attacks that need an optional package, and which.
PACKAGES = dict.fromkeys(FOOLBOX_ATTACKS, "foolbox") | {"autoattack": "pyautoattack"}
ATTACKS = ("fgsm", "pgd", "ddn", "fgsm_paper", "pgd_paper", *PACKAGES)


@dataclass(frozen=True)
class Attack:
    names: list[str] = checked(some_of(*ATTACKS))
    steps: int = checked(whole(1))
    restarts: int = checked(whole(1))
    ddn_steps: int = checked(whole(1))
    examples: int | None = checked(optional(whole(1)))
    proved: float = checked(number(at_least=0, at_most=1))
    foolbox_examples: int = checked(whole(1))


@dataclass(frozen=True)
class Estimate:
    confidence: float = checked(number(at_least=0.5, below=1))
    transport_samples: int = checked(whole(1, at_most=10_000))


@dataclass(frozen=True)
class Generator:
    latent: int = checked(whole(1))
    hidden: list[int] = checked(list_of(whole(1)))
    channels: list[int] = checked(list_of(whole(1), at_least=1))
    lr: float = checked(number(above=0, at_most=100))


GROUPS: dict[str, dict[str, type]] = {
    "model": {
        "small": ConvNet, "large": ConvNet, "fc": FullyConnected, "critic": Critic, "cones": ConesModel,
        "gan_critic": GanCritic,
    },
    "conv": {
        "bcop": BCOP, "bcop_fixed": BCOP, "rko": BCOP, "ossn": OSSN, "svcm": SVCM, "l2ne": PlainConv,
        "plain": PlainConv,
    },
    "linear": {"orthogonal": Named, "bjorck": Iterated, "spectral": Iterated, "plain": Named},
    "activation": {"maxmin": Named, "groupsort": GroupSort, "relu": Named, "abs": Named, "identity": Named},
    "loss": {"margin": Margin, "cross_entropy": CrossEntropy, "kantorovich": Named},
    "optimizer": {"adam": Adam, "adamw": AdamW, "sgd": SGD, "rmsprop": RMSprop},
    "scheduler": {"onecycle": OneCycle, "cosine": Cosine, "exponential": Exponential, "constant": Named},
    "dataset": IMAGE_SETS | PAIRS,  # late: a pair's file chooses the model and the loss that it can be used with
    "task": {  # gan chooses its loss
        "robustness": Robustness, "wasserstein": Named, "gan": GanTraining, "evaluate": Named, "export": Export,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """A checked configuration: what every part of the program reads."""

    model: Any
    conv: Any
    linear: Any
    activation: Any
    loss: Any
    optimizer: Any
    scheduler: Any
    dataset: Any
    task: Any
    attack: Attack
    estimate: Estimate
    generator: Generator
    seed: int = checked(seed(bits=64))
    epochs: int = checked(whole(1))
    batch_size: int = checked(whole(1))
    device: str = checked(one_of("auto", "cpu", "cuda"))
    threads: int | None = checked(optional(whole(1)))
    amp: str = checked(one_of("none", "bf16"))
    compile: bool = checked(boolean)
    progress: str = checked(one_of("auto", "on", "off"))
    eval_radii: list[str] = checked(radii_or_none)  # None for a pair of laws: nothing that reads it is run
    certify_dtype: str = checked(one_of("float64", "float32"))
    singular_values_every: int = checked(whole(0))
    debug: str = checked(one_of("none", "fast", "overfit"))
    profile: bool = checked(boolean)
    bell: bool = checked(boolean)
    resume: str | None = checked(optional(path))
    run: str | None = checked(optional(path))
    rerun: str | None = checked(optional(path))
    objective: str | None = checked(optional(text))
    fail_fast: bool = checked(boolean)

    @property
    def bars_hidden(self) -> bool | None:
        """tqdm's ``disable``: ``None`` hides bars where there is no terminal."""
        return {"auto": None, "on": False, "off": True}[self.progress]
