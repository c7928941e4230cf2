"""Files of data sets that are damaged, or would run code."""

import hashlib
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import torchvision

from malformed import Case, lipnet
from malformed.runs import Malicious


def write_idx(path: Path, array: numpy.ndarray, code: int = 8) -> None:
    """A file in MNIST's format; ``code`` 8 is for bytes."""
    header = bytes([0, 0, code, array.ndim]) + numpy.array(array.shape, dtype=">u4").tobytes()
    path.write_bytes(header + array.tobytes())


def noise(*shape: int) -> numpy.ndarray:
    """Bytes, the same ones each time."""
    return numpy.random.default_rng(0).integers(256, size=shape, dtype=numpy.uint8)


def numbers(count: int, modulus: int = 10) -> numpy.ndarray:
    """Labels."""
    return (numpy.arange(count) % modulus).astype(numpy.uint8)


def write_mnist(folder: Path) -> Path:
    """40 training and 8 test images; returns the folder of the four files."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 40), ("t10k", 8)):
        write_idx(raw / f"{part}-images-idx3-ubyte", noise(count, 28, 28))
        write_idx(raw / f"{part}-labels-idx1-ubyte", numbers(count))
    return raw


TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
MNIST_DAMAGE: dict[str, Callable[[Path], Any]] = {
    **{f"missing {name}": (lambda raw, name=name: (raw / name).unlink())
       for name in (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)},
    **{f"truncated to {keep} bytes": (lambda raw, keep=keep: cut(raw / TRAIN_IMAGES, keep))
       for keep in (0, 1, 3, 4, 8, 15, 16, 17, 1000, 31375)},
    **{f"labels truncated to {keep} bytes": (lambda raw, keep=keep: cut(raw / TEST_LABELS, keep))
       for keep in (0, 7, 8, 15)},
    "text": lambda raw: (raw / TRAIN_IMAGES).write_text("<html>404 not found</html>"),
    "zeros": lambda raw: (raw / TRAIN_IMAGES).write_bytes(bytes(31376)),
    "random bytes": lambda raw: (raw / TRAIN_IMAGES).write_bytes(noise(31376).tobytes()),
    "a huge count": lambda raw: (raw / TRAIN_IMAGES).write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 12),
    "floats": lambda raw: write_idx(raw / TRAIN_IMAGES, noise(40, 28, 28).astype(">f4"), 13),
    "NaN pixels": lambda raw: write_idx(raw / TRAIN_IMAGES, numpy.full((40, 28, 28), numpy.nan, ">f4"), 13),
    "doubles": lambda raw: write_idx(raw / TRAIN_IMAGES, noise(40, 28, 28).astype(">f8"), 14),
    "an unknown type": lambda raw: write_idx(raw / TRAIN_IMAGES, noise(40, 28, 28), 99),
    "20x20 pixels": lambda raw: write_idx(raw / TRAIN_IMAGES, noise(40, 20, 20)),
    "28x27 pixels in the test images": lambda raw: write_idx(raw / TEST_IMAGES, noise(8, 28, 27)),
    "rows of pixels": lambda raw: write_idx(raw / TRAIN_IMAGES, noise(40, 784)),
    "no images": lambda raw: write_idx(raw / TRAIN_IMAGES, noise(0, 28, 28)),
    "label 10": lambda raw: write_idx(raw / TRAIN_LABELS, numbers(40, 11)),
    "label 255": lambda raw: write_idx(raw / TEST_LABELS, numbers(8) + numpy.uint8(248)),
    "labels in a table": lambda raw: write_idx(raw / TRAIN_LABELS, numbers(40).reshape(4, 10)),
    "fewer labels than images": lambda raw: write_idx(raw / TRAIN_LABELS, numbers(39)),
    "more labels than images": lambda raw: write_idx(raw / TRAIN_LABELS, numbers(41)),
    "one class": lambda raw: write_idx(raw / TRAIN_LABELS, numbers(40, 1)),
    "a folder for a file": lambda raw: ((raw / TRAIN_IMAGES).unlink(), (raw / TRAIN_IMAGES).mkdir()),
    "files for a folder": lambda raw: (shutil.rmtree(raw), raw.write_text("")),
    "images and labels exchanged": lambda raw: (
        (raw / TRAIN_IMAGES).rename(raw / "x"), (raw / TRAIN_LABELS).rename(raw / TRAIN_IMAGES),
        (raw / "x").rename(raw / TRAIN_LABELS),
    ),
}  # fmt: skip


def cut(path: Path, keep: int) -> None:
    """Keeps the first bytes."""
    path.write_bytes(path.read_bytes()[:keep])


def _cifar_content(**changes: Any) -> dict[str, Any]:
    return {"data": noise(12, 3072), "labels": numbers(12).tolist()} | changes


NAN_PIXELS = numpy.full((12, 3072), numpy.nan)
CIFAR_DAMAGE: dict[str, Any] = {  # the content of a training file, as bytes or to be pickled; its checksum is right
    "no pickle": b"these are my images",
    "empty": b"",
    "half a pickle": pickle.dumps(_cifar_content(), protocol=2)[:5000],
    "a list": [1, 2],
    "no images": {"labels": [1]},
    "no labels": {"data": noise(12, 3072)},
    "16x16 pixels": _cifar_content(data=noise(12, 768)),
    "a row too long": _cifar_content(data=noise(12, 3073)),
    "images of text": _cifar_content(data="pixels"),
    "NaN pixels": _cifar_content(data=NAN_PIXELS),
    "floats": _cifar_content(data=noise(12, 3072) / 255),
    "signed pixels": _cifar_content(data=noise(12, 3072).astype(numpy.int16) - 128),
    "label 10": _cifar_content(labels=[10] * 12),
    "a negative label": _cifar_content(labels=[0, -1] * 6),
    "labels of text": _cifar_content(labels=["cat"] * 12),
    "labels that are NaN": _cifar_content(labels=[float("nan")] * 12),
    "fewer labels": _cifar_content(labels=[1, 2]),
    "more labels": _cifar_content(labels=[1, 2] * 7),
    "one class": _cifar_content(labels=[3] * 12),
    "no examples": _cifar_content(data=noise(0, 3072), labels=[]),
}  # fmt: skip


# Where the root is, below the folder that holds MNIST/raw, and what becomes of its files.
MNIST_ROOTS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a root too deep": ("MNIST", lambda raw: None),
    "a root much too deep": ("MNIST/raw", lambda raw: None),
    "a root too high": ("..", lambda raw: None),
    "a root that is a file": (f"MNIST/raw/{TRAIN_IMAGES}", lambda raw: None),
    "a root that is a link to itself": ("loop", lambda raw: (raw.parents[1] / "loop").symlink_to("loop")),
    "names in capitals": (".", lambda raw: raw.rename(raw.with_name("RAW"))),
    "a link to nothing": (".", lambda raw: (shutil.rmtree(raw), raw.symlink_to("nothing"))),
    "packed files alone": (".", lambda raw: [path.rename(f"{path}.gz") for path in list(raw.iterdir())]),
    "loose files": ("MNIST/raw", lambda raw: raw.parent.rename(raw.parents[1] / "other")),
}  # fmt: skip


SERIES: dict[str, bytes] = {
    "empty": b"",
    "names alone": b"a,b\n",
    "shorter than the warm-up": b"a\n1\n2\n3\n",
    "a gap": b"a\n" + b"1\n" * 20 + b'""\n' + b"1\n" * 20,
    "NaN": b"1\n" * 30 + b"nan\n",
    "an infinity": b"1\n" * 30 + b"-inf\n",
    "a number too large for a float": b"1\n" * 30 + b"1e999\n",
    "text": b"1\n" * 30 + b"one\n",
    "a short line": b"1,2\n" * 30 + b"1\n",
    "bytes that are no text": b"1\n" * 30 + b"\xff\xfe\n",
    "a NUL": b"1\n" * 30 + b"\x00\n",
    "a quote that does not end": b"a\n" + b"1\n" * 30 + b'"2\n3\n',
    "one line of a megabyte": b"1," * 2**19,
}


def data_files() -> Iterator[Case]:
    """Each where a run trains on it."""
    common = ["dataset.download=false", "dataset.validation=0", "batch_size=16", "epochs=1", "model.channels=[4,4]",
              "model.hidden=[8]", "attack.names=[]", "threads=1", "device=cpu", "progress=off"]  # fmt: skip
    for name, damage in MNIST_DAMAGE.items():

        def mnist(folder: Path, damage: Callable[[Path], Any] = damage) -> list[str]:
            damage(write_mnist(folder))
            return ["dataset=mnist", f"dataset.root={folder}", f"hydra.run.dir={folder / 'out'}", *common]

        yield Case("data files", f"MNIST: {name}", mnist, lipnet)
    for name, (below, change) in MNIST_ROOTS.items():

        def rooted(folder: Path, below: str = below, change: Callable[[Path], Any] = change) -> list[str]:
            change(write_mnist(folder / "data"))
            return [
                "dataset=mnist",
                f"dataset.root={folder / 'data' / below}",
                f"hydra.run.dir={folder / 'out'}",
                *common,
            ]

        yield Case("data files", f"MNIST: {name}", rooted, lipnet)
    for name, content in CIFAR_DAMAGE.items():

        def cifar(folder: Path, content: Any = content) -> list[str]:
            write_cifar(folder, content, checksums=True)
            return ["dataset=cifar10", f"dataset.root={folder}", f"hydra.run.dir={folder / 'out'}", *common]

        yield Case("data files", f"CIFAR-10: {name}", cifar, lipnet)

    for name, written in SERIES.items():

        def series(folder: Path, written: bytes = written) -> list[str]:
            (folder / "series.csv").write_bytes(written)
            return [
                "task=online",
                "dataset=series",
                "dataset.file=series.csv",
                "threads=1",
                "device=cpu",
                "progress=off",
            ]

        yield Case("data files", f"series: {name}", series, lipnet)
    for name, wrong in {"no such column": "c", "a folder": None}.items():

        def elsewhere(folder: Path, wrong: str | None = wrong) -> list[str]:
            (folder / "series.csv").write_text("a,b\n" + "1,2\n" * 30)
            chosen = ["dataset.file=."] if wrong is None else ["dataset.file=series.csv", f"dataset.column={wrong}"]
            return ["task=online", "dataset=series", *chosen, "threads=1", "device=cpu", "progress=off"]

        yield Case("data files", f"series: {name}", elsewhere, lipnet)

    def malicious(folder: Path) -> list[str]:
        write_cifar(folder, Malicious(), checksums=False)
        return ["dataset=cifar10", f"dataset.root={folder}", f"hydra.run.dir={folder / 'out'}", *common]

    yield Case("data files", "CIFAR-10: a malicious pickle", malicious, lipnet)


def write_cifar(folder: Path, content: Any, checksums: bool) -> None:
    """One training file with ``content``, and a right test file; ``checksums`` tells torchvision those of both."""
    source, place = torchvision.datasets.CIFAR10, folder / "cifar-10-batches-py"
    place.mkdir()
    names = {"label_names": [f"class {number}" for number in range(10)]}
    files = {"data_batch_1": content, "test_batch": _cifar_content(), "batches.meta": names}
    hashes = {}
    for name, value in files.items():
        data = value if isinstance(value, bytes) else pickle.dumps(value, protocol=2)
        (place / name).write_bytes(data)
        hashes[name] = hashlib.md5(data).hexdigest() if checksums or name != "data_batch_1" else "0" * 32
    source.train_list = [["data_batch_1", hashes["data_batch_1"]]]
    source.test_list = [["test_batch", hashes["test_batch"]]]
    source.meta = {"filename": "batches.meta", "key": "label_names", "md5": hashes["batches.meta"]}
