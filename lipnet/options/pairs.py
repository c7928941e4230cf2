"""The pairs of distributions among the options of ``dataset``, and of estimates of their distance."""

from dataclasses import dataclass

from lipnet.options import checks
from lipnet.options.checks import boolean, checked, either, list_of, number, optional, path, registered, text, whole
from lipnet.options.option import Named
from lipnet.options.registry import image_sets, register

_IMAGES = registered("a set of labelled images", image_sets)


@dataclass(frozen=True)
class Pair(Named):
    """Two distributions between which a Wasserstein distance is estimated; every one has these keys."""

    seed: int = checked(checks.seed(bits=63))
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
    source: str = checked(_IMAGES)
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
    source: str | None = checked(optional(_IMAGES))  # None: ``run`` does not say
    root: str = checked(path)
    download: bool = checked(boolean)
    run: str | None = checked(optional(path))


@dataclass(frozen=True)
class Samples(Pair):
    """Two sets of the user's own; what is null is found from them."""

    first: str | None = checked(optional(path))
    second: str | None = checked(optional(path))
    image_size: int | None = checked(optional(whole(1, at_most=4096)))
    channels: int = checked(either(1, 3))
    training: float = checked(number(above=0, below=1))
    selection: float = checked(number(above=0, below=1))
    cache: str = checked(path)
    selection_samples: int | None = checked(optional(whole(2)), found=True)  # type: ignore[assignment]
    evaluation_samples: int | None = checked(optional(whole(2)), found=True)  # type: ignore[assignment]
    shape: list[int] | None = checked(optional(list_of(whole(1), at_least=1)), found=True)
    content: str | None = checked(optional(text), found=True)

    @property
    def shape_and_classes(self) -> tuple[tuple[int, ...], int]:
        """Of sets whose keys are found: a critic has one output."""
        assert self.shape is not None
        return tuple(self.shape), 1


@dataclass(frozen=True)
class Estimate:
    confidence: float = checked(number(at_least=0.5, below=1))
    transport_samples: int = checked(whole(1, at_most=10_000))


def _register(name: str, keys: type, file: str) -> None:
    register("dataset", name, keys, f"lipnet.data.pairs.{file}:{name}", data="pair")


_register("absolute_value", ShiftPair, "lines")
_register("three_cones", ConePair, "cones")
_register("cone", ConePair, "cones")
_register("translation", ShiftPair, "lines")
_register("spheres", Spheres, "cones")
_register("scaled_gaussians", ScaledGaussians, "cones")
_register("partial_mass", PartialMass, "lines")
_register("nuisance", Nuisance, "cones")
_register("nearest_anchor", NearestAnchor, "rays")
_register("discrete", Discrete, "finite")
_register("two_images", TwoImages, "finite")
_register("minfunnel", MinFunnel, "rays")
_register("two_classes", TwoClasses, "finite")
_register("gan", GanPair, "gan")
register(
    "dataset", "samples", Samples, "lipnet.data.pairs.own:samples", data="pair", found="lipnet.data.own.samples:found"
)
