"""The schema: every key of every option, with its range. Defaults live in ``conf/`` alone."""

from dataclasses import dataclass
from typing import Any

from lipnet.options import checks
from lipnet.options.checks import boolean, checked, one_of, optional, path, radii_or_none, text, whole
from lipnet.options.images import IMAGE_SETS
from lipnet.options.layers import BCOP, OSSN, SVCM, GroupSort, Iterated, PlainConv
from lipnet.options.models import ConesModel, ConvNet, Critic, FullyConnected, GanCritic, Generator
from lipnet.options.option import Named
from lipnet.options.pairs import PAIRS, Estimate
from lipnet.options.tasks import Attack, Export, GanTraining, Robustness
from lipnet.options.training import SGD, Adam, AdamW, Cosine, CrossEntropy, Exponential, Margin, OneCycle, RMSprop

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
    seed: int = checked(checks.seed(bits=64))
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
