"""The sets of labelled images, and of labelled points, among the options of ``dataset``."""

from dataclasses import dataclass

from lipnet.options import checks
from lipnet.options.checks import boolean, checked, either, list_of, number, optional, path, radii, text, whole
from lipnet.options.option import Named
from lipnet.options.registry import register


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
class UnpackedDataset(Dataset):
    """Pictures in folders that somebody has unpacked: there is nothing to download."""

    root: str = checked(path)
    cache: str = checked(path)
    augment: bool = checked(boolean)


@dataclass(frozen=True)
class AugmentedDataset(StoredDataset):
    augment: bool = checked(boolean)


@dataclass(frozen=True)
class Points(Dataset):
    points: int = checked(whole(2))


@dataclass(frozen=True)
class OwnDataset(Dataset):
    """Labelled examples of the user's own; what is null is found from them."""

    test: float | None = checked(optional(number(above=0, below=1)))
    seed: int = checked(checks.seed(bits=63))
    classes: list[str] | None = checked(optional(list_of(text, at_least=2)), found=True)
    mean: list[float] | None = checked(optional(list_of(number(), at_least=1)), found=True)  # type: ignore[assignment]
    std: list[float] | None = checked(optional(list_of(number(above=0), at_least=1)), found=True)  # type: ignore[assignment]
    shape: list[int] | None = checked(optional(list_of(whole(1), at_least=1)), found=True)
    content: str | None = checked(optional(text), found=True)

    @property
    def shape_and_classes(self) -> tuple[tuple[int, ...], int]:
        """Of a set whose keys are found."""
        assert self.shape is not None
        assert self.classes is not None
        return tuple(self.shape), len(self.classes)


@dataclass(frozen=True)
class ImageFolder(OwnDataset):
    root: str | None = checked(optional(path))
    image_size: int | None = checked(optional(whole(1, at_most=4096)))
    channels: int = checked(either(1, 3))
    augment: bool = checked(boolean)
    cache: str = checked(path)


@dataclass(frozen=True)
class Arrays(OwnDataset):
    file: str | None = checked(optional(path))
    labels: str | None = checked(optional(path))


@dataclass(frozen=True)
class Table(OwnDataset):
    test: float = checked(number(above=0, below=1))
    file: str | None = checked(optional(path))
    target: str | None = checked(optional(text))
    columns: list[str] | None = checked(optional(list_of(text, at_least=1)), found=True)


def _register(name: str, keys: type, file: str, shape: tuple[int, ...], classes: int = 10) -> None:
    register("dataset", name, keys, f"lipnet.data.sets.{file}:{name}", data="images", shape=shape, classes=classes)


_register("digits", Dataset, "digits", (1, 8, 8))
_register("mnist", StoredDataset, "stored", (1, 28, 28))
_register("fashion_mnist", StoredDataset, "stored", (1, 28, 28))
_register("cifar10", AugmentedDataset, "stored", (3, 32, 32))
_register("stl10", AugmentedDataset, "stored", (3, 64, 64))
_register("cifar100", AugmentedDataset, "stored", (3, 32, 32), classes=100)
_register("svhn", AugmentedDataset, "stored", (3, 32, 32))
_register("emnist", StoredDataset, "stored", (1, 28, 28), classes=47)
_register("tiny_imagenet", UnpackedDataset, "tiny_imagenet", (3, 64, 64), classes=200)
_register("circle", Points, "points", (2,), classes=2)
_register("s_shape", Points, "points", (2,), classes=2)


def _register_own(name: str, keys: type) -> None:
    found = f"lipnet.data.own.{name}:found"
    register("dataset", name, keys, f"lipnet.data.sets.own:{name}", data="images", found=found)


_register_own("image_folder", ImageFolder)
_register_own("arrays", Arrays)
_register_own("table", Table)
