"""The sets of labelled images, and of labelled points, among the options of ``dataset``."""

from dataclasses import dataclass

from lipnet.options.checks import boolean, checked, list_of, number, optional, path, radii, whole
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
class AugmentedDataset(StoredDataset):
    augment: bool = checked(boolean)


@dataclass(frozen=True)
class Points(Dataset):
    points: int = checked(whole(2))


def _register(name: str, keys: type, file: str, shape: tuple[int, ...], classes: int = 10) -> None:
    register("dataset", name, keys, f"lipnet.data.sets.{file}:{name}", data="images", shape=shape, classes=classes)


_register("digits", Dataset, "digits", (1, 8, 8))
_register("mnist", StoredDataset, "stored", (1, 28, 28))
_register("fashion_mnist", StoredDataset, "stored", (1, 28, 28))
_register("cifar10", AugmentedDataset, "stored", (3, 32, 32))
_register("stl10", AugmentedDataset, "stored", (3, 64, 64))
_register("circle", Points, "points", (2,), classes=2)
_register("s_shape", Points, "points", (2,), classes=2)
