"""The options of ``model``, and the generator of a GAN."""

from dataclasses import dataclass

from lipnet.options.checks import boolean, checked, list_of, number, one_of, optional, path, text, whole
from lipnet.options.option import Named
from lipnet.options.registry import register


@dataclass(frozen=True)
class ConvNet(Named):
    channels: list[int] = checked(list_of(whole(1)))
    kernel_sizes: list[int] = checked(list_of(whole(1)))
    strides: list[int] = checked(list_of(whole(1)))
    hidden: list[int] = checked(list_of(whole(1)))
    head: str = checked(one_of("same", "normalized"))
    centering: bool = checked(boolean)
    mirrored: bool = checked(boolean)


@dataclass(frozen=True)
class Critic(ConvNet):
    image_size: int = checked(whole(1))


@dataclass(frozen=True)
class FullyConnected(Named):
    hidden: list[int] = checked(list_of(whole(1)))
    head: str = checked(one_of("same", "normalized"))
    centering: bool = checked(boolean)


@dataclass(frozen=True)
class GanCritic(Named):
    """Unconstrained, with batch normalisation: of ``task=gan`` only."""

    channels: list[int] = checked(list_of(whole(1), at_least=1))
    hidden: list[int] = checked(list_of(whole(1)))
    penalty: float = checked(number(above=0))


@dataclass(frozen=True)
class ShuffleNet(Named):
    """Unconstrained, with batch normalisation: of ``task=robustness`` only.

    Attributes:
        widths: each stage's channels.
    """

    groups: int = checked(whole(1))
    stem: int = checked(whole(1))
    channels: list[int] = checked(list_of(whole(1), at_least=1))
    width: float = checked(number(above=0, at_most=64))
    units: list[int] = checked(list_of(whole(1), at_least=1))

    @property
    def widths(self) -> list[int]:
        return [round(self.width * channels) for channels in self.channels]


@dataclass(frozen=True)
class ResidualNet(Named):
    """Stages of blocks; each stage but the first begins by halving the image."""

    patch: int = checked(whole(1))
    channels: list[int] = checked(list_of(whole(1), at_least=1))
    blocks: list[int] = checked(list_of(whole(1), at_least=1))
    kernel_sizes: list[int] = checked(list_of(whole(1), at_least=1))
    block: str = checked(one_of("conv", "mean", "cpl", "sll", "liresnet", "lipnext"))
    stem: str = checked(one_of("conv", "zeros"))
    down: str = checked(one_of("crop", "conv"))
    centering: bool = checked(boolean)
    hidden: list[int] = checked(list_of(whole(1)))
    head: str = checked(one_of("same", "normalized"))
    mirrored: bool = checked(boolean)


@dataclass(frozen=True)
class ConesModel(Named):
    cones: int = checked(whole(1))
    apices: str = checked(one_of("first", "second"))


@dataclass(frozen=True)
class OwnModule(Named):
    """A network of the user's own code: ``build`` is a function, as ``module:name``."""

    build: str | None = checked(optional(text))
    weights: str | None = checked(optional(path))

    @property
    def module(self) -> str:
        """The module that ``build`` names."""
        return (self.build or "").partition(":")[0]


@dataclass(frozen=True)
class Experts(Named):
    """A network for each memory and each Lipschitz constant: of ``task=online`` only."""

    memories: list[int] = checked(list_of(whole(1), at_least=1))
    budgets: list[float] = checked(list_of(number(above=0), at_least=1))
    hidden: list[int] = checked(list_of(whole(1)))

    @property
    def names(self) -> list[str]:
        """Of each expert, memories first: ``k2_L0.5``."""
        return [f"k{memory}_L{budget:g}" for memory in self.memories for budget in self.budgets]


@dataclass(frozen=True)
class Generator:
    latent: int = checked(whole(1))
    hidden: list[int] = checked(list_of(whole(1)))
    channels: list[int] = checked(list_of(whole(1), at_least=1))
    lr: float = checked(number(above=0, at_most=100))


_OF_CONVOLUTIONS = ("conv", "shuffle", "linear", "activation")

register("model", "small", ConvNet, "lipnet.models.conv_net:conv_net", reads=_OF_CONVOLUTIONS)
register("model", "large", ConvNet, "lipnet.models.conv_net:conv_net", reads=_OF_CONVOLUTIONS)
register("model", "fc", FullyConnected, "lipnet.models.fully_connected:fully_connected", reads=("linear", "activation"))
register("model", "critic", Critic, "lipnet.models.conv_net:conv_net", reads=_OF_CONVOLUTIONS)
register("model", "cones", ConesModel, "lipnet.models.cones:cones")
register("model", "gan_critic", GanCritic, "lipnet.models.gan:gan_critic")
register("model", "shufflenet", ShuffleNet, "lipnet.models.shufflenet:shufflenet", reads=("shuffle",))
register(
    "model", "residual", ResidualNet, "lipnet.models.residual:residual_net", reads=("conv", "linear", "activation")
)
register("model", "module", OwnModule, "lipnet.models.own:own_network")
register("model", "experts", Experts, "lipnet.models.experts:experts", reads=("linear", "activation"))
