"""The options of ``loss``, ``optimizer`` and ``scheduler``."""

from dataclasses import dataclass

from lipnet.options.checks import boolean, checked, list_of, number, one_of
from lipnet.options.option import Named
from lipnet.options.registry import register


@dataclass(frozen=True)
class Margin(Named):
    epsilon: float = checked(number(above=0, fractions=True))


@dataclass(frozen=True)
class Scheduled(Margin):
    """A loss whose radius may move through training."""

    schedule: str = checked(one_of("constant", "linear", "cosine"))
    schedule_from: float = checked(number(at_least=0))
    schedule_to: float = checked(number(at_least=0))
    schedule_until: float = checked(number(above=0, at_most=1))


@dataclass(frozen=True)
class Pairwise(Scheduled):
    """One that can have a margin for each pair of classes."""

    per_pair: bool = checked(boolean)


@dataclass(frozen=True)
class Hinge(Pairwise):
    """Of which there is none without a margin: it is its scale."""


@dataclass(frozen=True)
class CrossEntropy(Pairwise):
    epsilon: float = checked(number(at_least=0, fractions=True))
    temperature: float = checked(number(above=0))


@dataclass(frozen=True)
class Certificate(CrossEntropy):
    weight: float = checked(number(at_least=0))


@dataclass(frozen=True)
class Emma(CrossEntropy):
    """Cross-entropy, with margins as far as they have been reached."""


@dataclass(frozen=True)
class LogitAnnealing(CrossEntropy):
    beta: float = checked(number(at_least=0))
    emma: bool = checked(boolean)


@dataclass(frozen=True)
class Trades(CrossEntropy):
    weight: float = checked(number(at_least=0))


@dataclass(frozen=True)
class Hkr(Scheduled):
    alpha: float = checked(number(at_least=0, at_most=1))


@dataclass(frozen=True)
class Pinball(Named):
    quantile: float = checked(number(above=0, below=1))


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


register("loss", "margin", Hinge, "lipnet.losses.margin:margin", data="images", slope="lipnet.losses.margin:slope")
register(
    "loss", "cross_entropy", CrossEntropy, "lipnet.losses.cross_entropy:cross_entropy", data="images",
    slope="lipnet.losses.cross_entropy:slope",
)  # fmt: skip
register("loss", "certificate", Certificate, "lipnet.losses.certificate:certificate", data="images")
register("loss", "emma", Emma, "lipnet.losses.emma:emma", data="images", slope="lipnet.losses.cross_entropy:slope")
register("loss", "logit_annealing", LogitAnnealing, "lipnet.losses.logit_annealing:logit_annealing", data="images")
register("loss", "trades", Trades, "lipnet.losses.trades:trades", data="images")
register("loss", "hkr", Hkr, "lipnet.losses.hkr:hkr", data="images", separate=False)
register("loss", "kantorovich", data="pair")  # the critic's own: what a task that compares distributions descends
register("loss", "likelihood", data="problem")  # of numbers a Gaussian, of classes the softmax: what a posterior is of
register("loss", "squared", code="lipnet.losses.regression:squared", data="stream")
register("loss", "absolute", code="lipnet.losses.regression:absolute", data="stream")
register("loss", "pinball", Pinball, "lipnet.losses.regression:pinball", data="stream")

register("optimizer", "adam", Adam, "lipnet.training.schedules:adam")
register("optimizer", "adamw", AdamW, "lipnet.training.schedules:adamw")
register("optimizer", "sgd", SGD, "lipnet.training.schedules:sgd")
register("optimizer", "rmsprop", RMSprop, "torch.optim:RMSprop")

register("scheduler", "onecycle", OneCycle, "lipnet.training.schedules:one_cycle")
register("scheduler", "cosine", Cosine, "lipnet.training.schedules:cosine")
register("scheduler", "exponential", Exponential, "lipnet.training.schedules:exponential")
register("scheduler", "constant", code="lipnet.training.schedules:constant")
