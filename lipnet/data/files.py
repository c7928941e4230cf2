"""The files of an image data set: where torchvision looks for them, and what is wrong with those that are there.

Nothing here changes or removes a file. Only a file that torchvision's own checksum proves damaged is called so.
"""

import errno
import gzip
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STORAGE = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE,
)  # fmt: skip
_LISTED = 100  # names in a root that are looked at
_IDX_AXES = 8
_IDX_HEADER = 4 + 4 * _IDX_AXES
_IDX_BYTES = {8: 1, 9: 1, 11: 2, 12: 4, 13: 4, 14: 8}  # of a value, by the type in an IDX file's header


@dataclass(frozen=True)
class Layout:
    """How torchvision lays a data set out below a root.

    Attributes:
        folder: where its files lie.
        files: their names, with the MD5 checksums that torchvision has of them.
        archives: what it downloads and unpacks, as paths below the root, with checksums.
    """

    folder: str
    files: dict[str, str | None]
    archives: dict[str, str]

    def paths(self, root: Path) -> list[Path]:
        return [root / self.folder / name for name in self.files]

    def lies_in(self, root: Path) -> bool:
        """Whether every file is there, or every archive."""
        packed = [root / name for name in self.archives]
        return any(all(map(os.path.isfile, paths)) for paths in (self.paths(root), packed))


def layout(source: Any) -> Layout:
    """How a class of ``torchvision.datasets`` lays out its files."""
    if hasattr(source, "classes_split_dict"):  # EMNIST, of which one part is used: unpacked files without checksums
        folder = f"{source.__name__}/raw"
        kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
        names = [f"emnist-balanced-{part}-{kind}" for part in ("train", "test") for kind in kinds]
        return Layout(folder, dict.fromkeys(names), {f"{folder}/gzip.zip": source.md5})
    if hasattr(source, "split_list"):  # SVHN, as it is downloaded
        packed = {name: checksum for _, name, checksum in (source.split_list[part] for part in ("train", "test"))}
        return Layout(".", {**packed}, packed)
    if hasattr(source, "resources"):  # MNIST and its kin: a packed file for each, and a checksum of that alone
        folder = f"{source.__name__}/raw"
        files = dict.fromkeys(name.removesuffix(".gz") for name, _ in source.resources)
        return Layout(folder, files, {f"{folder}/{name}": checksum for name, checksum in source.resources})
    checksums = dict(map(tuple, [*source.train_list, *source.test_list]))
    if hasattr(source, "meta"):
        checksums[source.meta["filename"]] = source.meta["md5"]
    return Layout(source.base_folder, checksums, {source.filename: source.tgz_md5})


def meant_root(laid_out: Layout, root: Path) -> Path | None:
    """The folder above a root that is one of the data set's own folders, such as ``.../MNIST/raw``; where it lies."""
    depth = len(Path(laid_out.folder).parts)
    own = {part.lower() for part in Path(laid_out.folder).parts}
    for above, below in zip(root.parents[:depth], (root, *root.parents), strict=False):
        if below.name.lower() not in {*own, "raw"}:
            return None
        if laid_out.lies_in(above):
            return above
    return None


def explain(source: Any, root: Path, error: Exception, download: bool) -> str:
    """Why a data set could not be loaded from a root, and what to do about it: what follows ``MNIST`` in a message."""
    laid_out = layout(source)
    reason = " ".join(str(error).split()) or type(error).__name__
    fetched = f"and could not be fetched ({reason})" if download else "and dataset.download=false"
    for found in _reasons(laid_out, root, error, download):  # each looks at files: no more than are needed
        if found is not None:
            return found
    there = list(map(os.path.isfile, laid_out.paths(root)))
    if all(there):
        return f"cannot be read from {root / laid_out.folder} ({reason}); compare its files with another source's."
    return (
        f"is {'incomplete' if any(there) else 'missing'} in {root} {fetched}. Let it download where there is a "
        "network, or set dataset.root or $LIPNET_DATA to a folder that holds it as torchvision lays it out; "
        "dataset=digits needs no files."
    )


def _reasons(laid_out: Layout, root: Path, error: Exception, download: bool) -> Iterator[str | None]:
    """What may be wrong, the likeliest first; ``None`` for what is not."""
    yield _no_folder(laid_out, root)
    yield _refused(root, error)
    yield _elsewhere(laid_out, root)
    yield _damaged(laid_out, root)
    yield None if download else _packed(laid_out, root)


def _no_folder(laid_out: Layout, root: Path) -> str | None:
    place = root / laid_out.folder
    for path in reversed((place, *place.parents)):
        if os.path.lexists(path) and not os.path.isdir(path):
            return f"cannot lie there: {path} is {_kind(path)} where a folder belongs."
    for path in laid_out.paths(root):
        if os.path.isdir(path):
            return f"is incomplete: {path} is a folder where a file belongs."
    return None


def _kind(path: Path) -> str:
    """What a path is that is no folder."""
    if os.path.isfile(path):
        return "a file"
    return "a link to nothing" if path.is_symlink() else "no folder"


def _refused(root: Path, error: Exception) -> str | None:
    """A full disk, a missing permission."""
    if not isinstance(error, OSError) or error.errno not in _STORAGE:
        return None
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    cure = "make room" if full else "make it readable, and writable for a download"
    return (
        f"cannot be read or fetched: {error.filename or root}: {error.strerror}; {cure}, or use another dataset.root."
    )


def _elsewhere(laid_out: Layout, root: Path) -> str | None:
    depth = len(Path(laid_out.folder).parts)
    for folder in (*root.parents[:depth], *_subfolders(root)):
        if laid_out.lies_in(folder):
            return f"is missing in {root}, and lies in {folder}: use dataset.root={folder}."
    wanted = root / laid_out.folder
    if all(os.path.isfile(root / name) for name in laid_out.files):
        return f"is missing: its files lie in {root} itself, and torchvision looks in {wanted}; move them there."
    other = _spelled_otherwise(laid_out, root)
    if other is not None:
        return f"is missing: torchvision looks for {root / _first(laid_out)}, and there is {other}; rename that."
    return None


def _names(folder: Path) -> list[str]:
    """What is in a folder, as far as it can be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _subfolders(root: Path) -> list[Path]:
    return [root / name for name in _names(root)[:_LISTED] if os.path.isdir(root / name)]


def _spelled_otherwise(laid_out: Layout, root: Path) -> Path | None:
    """The first of its files, where its path differs from what torchvision looks for in upper and lower case alone."""
    place = root
    for part in _first(laid_out).parts:
        same = [name for name in _names(place) if name.lower() == part.lower()]
        if not same:
            return None
        place = place / (part if part in same else same[0])
    return None if place == root / _first(laid_out) else place


def _first(laid_out: Layout) -> Path:
    return Path(laid_out.folder) / next(iter(laid_out.files))


def _damaged(laid_out: Layout, root: Path) -> str | None:
    paths = laid_out.paths(root)
    checksums = zip(paths, laid_out.files.values(), strict=True)
    proved = [path for path, checksum in checksums if checksum is not None and _differs(path, checksum)]
    proved += [path for path in paths if _differs_from_packed(path, laid_out, root)]
    if proved:
        one = len(proved) == 1
        return (
            f"is damaged: {', '.join(map(str, proved))} {'is' if one else 'are'} not what torchvision's checksums ask "
            f"for. Delete {'that file' if one else 'those files'} alone, and dataset.download=true fetches what is "
            "missing, where there is a network."
        )
    for path in paths:
        if path.name.endswith("ubyte") and (problem := _idx_problem(path)):
            return (
                f"cannot be read: {path} {problem}. Move that file elsewhere, and dataset.download=true fetches what "
                "is missing, where there is a network."
            )
    return None


def _differs(path: Path, checksum: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    try:
        return os.path.isfile(path) and not check_integrity(str(path), checksum)
    except OSError:  # cannot be read: nothing is proved
        return False


def _differs_from_packed(path: Path, laid_out: Layout, root: Path) -> bool:
    """Whether an unpacked file of MNIST's is not what its archive, proved by its checksum, holds."""
    archive = path.with_name(f"{path.name}.gz")
    checksum = laid_out.archives.get(f"{laid_out.folder}/{archive.name}")
    if checksum is None or not all(map(os.path.isfile, (path, archive))) or _differs(archive, checksum):
        return False
    try:
        with gzip.open(archive) as file:
            return file.read() != path.read_bytes()
    except (OSError, EOFError, zlib.error):
        return False


def _idx_problem(path: Path) -> str | None:
    """What is wrong with a file in MNIST's format by its own header."""
    try:
        with open(path, "rb") as file:
            header = file.read(_IDX_HEADER)
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return None
    if len(header) < 4 or header[:2] != b"\0\0" or header[2] not in _IDX_BYTES or not 1 <= header[3] <= _IDX_AXES:
        return f"({size} bytes) is no IDX file, as MNIST's are"
    axes = header[3]
    shape = [int.from_bytes(header[place : place + 4], "big") for place in range(4, 4 + 4 * axes, 4)]
    wanted = 4 + 4 * axes + _IDX_BYTES[header[2]] * math.prod(shape)
    return None if size == wanted else f"has {size} bytes where its header asks for {wanted}"


def _packed(laid_out: Layout, root: Path) -> str | None:
    if any(not os.path.isfile(root / name) or _differs(root / name, md5) for name, md5 in laid_out.archives.items()):
        return None
    place = (root / next(iter(laid_out.archives))).parent
    return f"is packed in {place}: dataset.download=true unpacks it, without a network."
