"""The schema: every key of every option, with its range. Defaults live in ``conf/`` alone."""

from dataclasses import dataclass
from typing import Any

from lipnet.checks import boolean, checked, list_of, number, one_of, optional, path, radii, some_of, text, whole


@dataclass(frozen=True)
class Named:
    """An option without keys of its own."""

    name: str = checked(text)


@dataclass(frozen=True)
class Robustness(Named):
    select_by: str = checked(one_of("certified_accuracy", "certified_accuracy_per_pair", "clean_accuracy", "loss"))


@dataclass(frozen=True)
class ConvNet(Named):
    channels: list[int] = checked(list_of(whole(1)))
    kernel_sizes: list[int] = checked(list_of(whole(1)))
    strides: list[int] = checked(list_of(whole(1)))
    hidden: list[int] = checked(list_of(whole(1)))
    head: str = checked(one_of("same", "normalized"))


@dataclass(frozen=True)
class FullyConnected(Named):
    hidden: list[int] = checked(list_of(whole(1)))
    head: str = checked(one_of("same", "normalized"))


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


FOOLBOX_ATTACKS = ("boundary", "pointwise")  # they need the optional package foolbox
ATTACKS = ("fgsm", "pgd", "ddn", "fgsm_paper", "pgd_paper", *FOOLBOX_ATTACKS)


@dataclass(frozen=True)
class Attack:
    names: list[str] = checked(some_of(*ATTACKS))
    steps: int = checked(whole(1))
    restarts: int = checked(whole(1))
    ddn_steps: int = checked(whole(1))
    examples: int | None = checked(optional(whole(1)))
    foolbox_examples: int = checked(whole(1))


GROUPS: dict[str, dict[str, type]] = {
    "task": {"robustness": Robustness, "evaluate": Named},
    "model": {"small": ConvNet, "large": ConvNet, "fc": FullyConnected},
    "conv": {
        "bcop": BCOP, "bcop_fixed": BCOP, "rko": BCOP, "ossn": OSSN, "svcm": SVCM, "l2ne": PlainConv,
        "plain": PlainConv,
    },
    "linear": {"orthogonal": Named, "bjorck": Iterated, "spectral": Iterated, "plain": Named},
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
    seed: int = checked(whole(0, at_most=2**64 - 1))
    epochs: int = checked(whole(1))
    batch_size: int = checked(whole(1))
    device: str = checked(one_of("auto", "cpu", "cuda"))
    threads: int | None = checked(optional(whole(1)))
    amp: str = checked(one_of("none", "bf16"))
    compile: bool = checked(boolean)
    progress: str = checked(one_of("auto", "on", "off"))
    eval_radii: list[str] = checked(radii)
    certify_dtype: str = checked(one_of("float64", "float32"))
    singular_values_every: int = checked(whole(0))
    resume: str | None = checked(optional(path))
    run: str | None = checked(optional(path))

    @property
    def bars_hidden(self) -> bool | None:
        """tqdm's ``disable``: ``None`` hides bars where there is no terminal."""
        return {"auto": None, "on": False, "off": True}[self.progress]
