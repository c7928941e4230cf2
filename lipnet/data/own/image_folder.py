"""A folder of pictures, a folder a class: ``root/CLASS/*.png``, or the same below ``train`` and ``test``."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from lipnet.data.own.listing import SUFFIXES, Pictures, loose_in, pictures_in, readable_folder, some, subfolders
from lipnet.errors import UserError, reason_of
from lipnet.options.images import ImageFolder

_WHAT = "a folder with a folder of pictures for each class, or with folders train and test of that kind"


@dataclasses.dataclass(frozen=True)
class Tree:
    """The pictures of every class, in the order of the classes; of one tree, ``test`` is empty."""

    classes: list[str]
    train: list[Pictures]
    test: list[Pictures]

    @property
    def parts(self) -> list[Pictures]:
        return [*self.train, *self.test]

    @property
    def content(self) -> str:
        """Tells the names and sizes of all pictures."""
        told = [f"{part.folder.name}:{part.content}" for part in self.parts]
        return hashlib.sha256("\n".join(told).encode(errors="surrogateescape")).hexdigest()[:16]


def found(option: ImageFolder) -> dict[str, Any]:
    """What the keys of a folder of pictures are where they are null."""
    tree = listed(option)
    height, width = picture_size(option, tree)
    return {
        "classes": tree.classes, "shape": [option.channels, height, width], "content": tree.content,
        "mean": [0.0] * option.channels, "std": [1.0] * option.channels,
    }  # fmt: skip


def listed(option: ImageFolder) -> Tree:
    """Every picture by class.

    Raises:
        UserError: with everything that is wrong with the folders.
    """
    root = readable_folder("dataset.root", option.root, _WHAT)
    try:
        there = subfolders(root)
        two = {"train", "test"} <= set(there)
        train = root / "train" if two else root
        classes = option.classes or subfolders(train)
        problems = _of_classes(option, root, classes, two)
        if problems:
            raise UserError(*problems)
        parts = [pictures_in(train / name) for name in classes]
        test = [pictures_in(root / "test" / name) for name in classes] if two else []
    except OSError as error:
        raise UserError(f"dataset.root={option.root}: cannot be read ({error.filename}: {error.strerror}).") from None
    tree = Tree(classes, parts, test)
    problems = _of_pictures(option, tree)
    if problems:
        raise UserError(*problems)
    return tree


def _of_classes(option: ImageFolder, root: Path, classes: list[str], two: bool) -> list[str]:
    """What is wrong with the names of the classes."""
    given = f"dataset.root={option.root}"
    strange = [name for name in classes if "${" in name or not name.isprintable()]
    if strange:
        return [f"{given}: the name of a class may not be {some([repr(name) for name in strange])}; rename its folder."]
    if len(classes) < 2:
        return [f"{given}: has {len(classes)} folders of classes in it, and a classifier needs two; give {_WHAT}."]
    problems = []
    loose = [name for place in ((root, root / "train", root / "test") if two else (root,)) for name in loose_in(place)]
    if loose:
        problems.append(f"{given}: pictures in no folder of a class: {some(loose)}; move them.")
    for part in ("train", "test") if two else ("",):
        there = subfolders(root / part)
        missing = [name for name in classes if name not in there]
        unknown = [name for name in there if name not in classes]
        if missing:
            problems.append(f"{given}: {part or 'it'} has no folder of {some(missing)}; add pictures of them.")
        if unknown:
            known = "the run's classes" if option.classes else "the classes of train"
            problems.append(f"{given}: {part or 'it'} has folders that are none of {known}: {some(unknown)}.")
    return problems


def _of_pictures(option: ImageFolder, tree: Tree) -> list[str]:
    """What is wrong with the files in the folders."""
    given, problems = f"dataset.root={option.root}", []
    empty = [str(part.folder.relative_to(Path(option.root or "").absolute())) for part in tree.parts if not part.count]
    if empty:
        problems.append(f"{given}: no picture in {some(empty)}; add some, or remove the folder.")
    alone = [part.folder.name for part in tree.train if part.count == 1]
    if alone and not tree.test:
        problems.append(f"{given}: one picture in {some(alone)}, and a class needs one to learn and one to test.")
    others = [f"{part.folder.name}/{name}" for part in tree.parts for name in part.others]
    if others:
        count = sum(part.number_of_others for part in tree.parts)
        kinds = ", ".join(SUFFIXES)
        problems.append(f"{given}: {count:,} files that are no pictures ({kinds}): {some(others, count)}; move them.")
    return problems


def picture_size(option: ImageFolder, tree: Tree) -> tuple[int, int]:
    """Height and width: those asked for, else those of the first picture, which all are to have."""
    from PIL import Image, UnidentifiedImageError

    if option.image_size is not None:
        return option.image_size, option.image_size
    if option.shape is not None:
        return option.shape[1], option.shape[2]
    first = tree.train[0].folder / next(tree.train[0].names())
    try:
        with Image.open(first) as picture:
            return picture.height, picture.width
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError) as error:
        raise UserError(f"dataset.root={option.root}: {first} cannot be read ({reason_of(error, 120)}).") from None
