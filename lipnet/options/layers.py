"""The options of ``conv``, ``shuffle``, ``linear`` and ``activation``."""

from dataclasses import dataclass

from lipnet.options.checks import boolean, checked, number, one_of, optional, whole
from lipnet.options.option import Named
from lipnet.options.registry import register


@dataclass(frozen=True)
class PlainConv(Named):
    padding_mode: str = checked(one_of("circular", "zeros"))
    groups: int = checked(whole(1))


@dataclass(frozen=True)
class Orthogonalized(PlainConv):
    orthogonalizer: str = checked(one_of("cholesky", "bjorck"))


@dataclass(frozen=True)
class BCOP(Orthogonalized):
    initial: str = checked(one_of("random", "identity"))


@dataclass(frozen=True)
class Iterated(Named):
    iterations: int = checked(whole(1))


@dataclass(frozen=True)
class OSSN(PlainConv):
    iterations: int = checked(whole(1))


@dataclass(frozen=True)
class SOC(Named):
    padding_mode: str = checked(one_of("circular", "zeros"))
    terms: int = checked(whole(2))
    training_terms: int = checked(whole(2))


@dataclass(frozen=True)
class BRO(Named):
    share: float = checked(number(above=0, below=1))


@dataclass(frozen=True)
class SVCM(Iterated):
    every: int = checked(whole(1))


@dataclass(frozen=True)
class AOL(PlainConv):
    steps: int = checked(whole(1, at_most=6))


@dataclass(frozen=True)
class AOLLinear(Named):
    steps: int = checked(whole(1, at_most=6))


@dataclass(frozen=True)
class Shuffle(Named):
    keep_pairs: bool = checked(boolean)


@dataclass(frozen=True)
class RandomShuffle(Shuffle):
    signed: bool = checked(boolean)


@dataclass(frozen=True)
class LearnedShuffle(RandomShuffle):
    initial: str = checked(one_of("uniform", "fixed"))
    weight: float = checked(number(at_least=0))
    ramp: float = checked(number(at_least=0, at_most=1))
    straight_through: bool = checked(boolean)
    harden: float = checked(number(above=0, at_most=1))


@dataclass(frozen=True)
class GroupSort(Named):
    group_size: int | None = checked(optional(whole(2)))


@dataclass(frozen=True)
class LeakyReLU(Named):
    negative_slope: float = checked(number(at_least=0, at_most=1))


@dataclass(frozen=True)
class BetaAbs(Named):
    share: float = checked(number(at_least=0, at_most=1))


@dataclass(frozen=True)
class Spline(Named):
    knots: int = checked(whole(3, at_most=1025))
    range: float = checked(number(above=0))
    initial: str = checked(one_of("identity", "abs", "relu", "pairs"))
    shared: bool = checked(boolean)
    constrained: bool = checked(boolean)
    tv2: float = checked(number(at_least=0))
    bv2: float = checked(number(at_least=0))
    steep: float = checked(number(at_least=0))
    rate: float = checked(number(at_least=0))
    threshold: float = checked(number(at_least=0))


register("conv", "bcop", BCOP, "lipnet.layers.convolutions.bcop:bcop")
register("conv", "bcop_fixed", Orthogonalized, "lipnet.layers.convolutions.bcop:bcop_fixed")
register("conv", "rko", Orthogonalized, "lipnet.layers.convolutions.rko:rko")
register("conv", "ossn", OSSN, "lipnet.layers.convolutions.ossn:OSSNConv2d")
register("conv", "svcm", SVCM, "lipnet.layers.convolutions.svcm:SVCMConv2d")
register("conv", "l2ne", PlainConv, "lipnet.layers.convolutions.l2ne:L2NEConv2d")
register("conv", "aol", AOL, "lipnet.layers.convolutions.aol:AOLConv2d")
register("conv", "aoc", Orthogonalized, "lipnet.layers.convolutions.aoc:aoc", any_kernel=True)
register("conv", "cayley", code="lipnet.layers.convolutions.cayley:CayleyConv2d")
register("conv", "soc", SOC, "lipnet.layers.convolutions.soc:SOCConv2d")
register("conv", "bro", BRO, "lipnet.layers.convolutions.bro:BROConv2d")
register("conv", "lot", Iterated, "lipnet.layers.convolutions.lot:LOTConv2d")
register("conv", "plain", PlainConv, "lipnet.layers.convolutions.padded:PaddedConv2d")

register("shuffle", "none", code="torch.nn:Identity")
register("shuffle", "fixed", Shuffle, "lipnet.layers.shuffle:fixed_shuffle")
register("shuffle", "random", RandomShuffle, "lipnet.layers.shuffle:random_shuffle")
register("shuffle", "learned", LearnedShuffle, "lipnet.layers.learned_shuffle:learned_shuffle")

register("linear", "orthogonal", code="lipnet.layers.dense.orthogonal:OrthogonalLinear")
register("linear", "bjorck", Iterated, "lipnet.layers.dense.orthogonal:bjorck_linear")
register("linear", "spectral", Iterated, "lipnet.layers.dense.spectral:SpectralLinear")
register("linear", "aol", AOLLinear, "lipnet.layers.dense.aol:AOLLinear")
register("linear", "cayley", code="lipnet.layers.dense.cayley:CayleyLinear")
register("linear", "bro", BRO, "lipnet.layers.dense.bro:BROLinear")
register("linear", "plain", code="torch.nn:Linear")

register("activation", "maxmin", code="lipnet.layers.activations.sorting:MaxMin", groups=lambda option: 2)
register(
    "activation",
    "groupsort",
    GroupSort,
    "lipnet.layers.activations.sorting:GroupSort",
    groups=lambda option: option.group_size,
)
register("activation", "relu", code="torch.nn:ReLU")
register("activation", "leaky_relu", LeakyReLU, "torch.nn:LeakyReLU")
register("activation", "prelu", code="lipnet.layers.activations.learned_slopes:prelu")
register("activation", "abs", code="lipnet.layers.activations.sorting:Abs")
register("activation", "gaussian", code="lipnet.layers.activations.gaussian:Gaussian")
register("activation", "identity", code="torch.nn:Identity")
register("activation", "householder", code="lipnet.layers.activations.householder:Householder", groups=lambda option: 2)
register("activation", "n_activation", code="lipnet.layers.activations.n_activation:NActivation")
register("activation", "beta_abs", BetaAbs, "lipnet.layers.activations.beta_abs:BetaAbs")
register("activation", "spline", Spline, "lipnet.layers.activations.spline:spline")
