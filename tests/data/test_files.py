"""What is said of data that cannot be loaded: where they were meant to be, and what is damaged, which alone may go."""

import builtins
import errno
import gzip
import hashlib
import io
import os
import pickle
import shutil
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import numpy
import pytest
import torchvision
from torchvision.datasets.utils import check_integrity

from lipnet.data.images import load_files
from lipnet.errors import UserError

MNIST = "MNIST/raw"
IMAGES, LABELS = "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
CIFAR = "cifar-10-batches-py"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def idx(shape, content):
    return bytes([0, 0, 8, len(shape)]) + numpy.array(shape, ">u4").tobytes() + content


def mnist_contents():
    found = {}
    for part, count in (("train", 20), ("t10k", 6)):
        found[f"{part}-images-idx3-ubyte"] = idx((count, 28, 28), bytes(count * 784))
        found[f"{part}-labels-idx1-ubyte"] = idx((count,), bytes(number % 10 for number in range(count)))
    return found


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A root with MNIST and CIFAR-10, unpacked; torchvision is told their checksums, and those of their archives."""
    root = tmp_path / "data"
    (root / MNIST).mkdir(parents=True)
    resources = []
    for name, content in mnist_contents().items():
        (root / MNIST / name).write_bytes(content)
        resources.append((f"{name}.gz", hashlib.md5(gzip.compress(content, mtime=0)).hexdigest()))
    for source in (torchvision.datasets.MNIST, torchvision.datasets.FashionMNIST):
        monkeypatch.setattr(source, "resources", resources)
    (root / CIFAR).mkdir()
    checksums = {}
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        pixels = numpy.zeros((10, 3072), numpy.uint8)
        content = {"data": pixels, "labels": list(range(10)), "label_names": list("abcdefghij")}
        (root / CIFAR / name).write_bytes(pickle.dumps(content, protocol=2))
        checksums[name] = hashlib.md5((root / CIFAR / name).read_bytes()).hexdigest()
    source = torchvision.datasets.CIFAR10
    monkeypatch.setattr(source, "train_list", [["data_batch_1", checksums["data_batch_1"]]])
    monkeypatch.setattr(source, "test_list", [["test_batch", checksums["test_batch"]]])
    monkeypatch.setattr(source, "meta", source.meta | {"md5": checksums["batches.meta"]})
    return root


def load(name, root, download=False):
    class Given:
        pass

    given = Given()
    given.name, given.root, given.download = name, str(root), download
    return load_files(given)


def said(name, root, download=False):
    with pytest.raises(UserError, match=r"^dataset\.root=") as caught:
        load(name, root, download)
    return str(caught.value)


def packed(root, name):
    (root / MNIST / f"{name}.gz").write_bytes(gzip.compress((root / MNIST / name).read_bytes(), mtime=0))


def pack_all(root, keep):
    for name in mnist_contents():
        packed(root, name)
        if not keep:
            (root / MNIST / name).unlink()


def archive_of_cifar(root, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(root / CIFAR, arcname=CIFAR)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", hashlib.md5(buffer.getvalue()).hexdigest())
    return buffer.getvalue()


# Roots that are not quite right


@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize(
    ("name", "below"), [("mnist", "MNIST"), ("mnist", "MNIST/raw"), ("cifar10", CIFAR), ("mnist", "MNIST/raw/")]
)
def test_a_root_too_deep_is_told_the_one_meant(data, name, below, download):
    before = sorted(data.rglob("*"))
    message = said(name, data / below, download)
    assert message.endswith(f"lies in {data}: use dataset.root={data}.")
    assert sorted(data.rglob("*")) == before


def test_a_root_in_another_data_set_too_deep(data):
    shutil.copytree(data / "MNIST", data / "FashionMNIST")
    assert f"use dataset.root={data}." in said("fashion_mnist", data / "FashionMNIST" / "raw")
    shutil.rmtree(data / "FashionMNIST" / "raw")
    assert "is missing" in said("fashion_mnist", data / "FashionMNIST")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_root_too_high_is_told_the_one_meant(data, name):
    assert f"use dataset.root={data}." in said(name, data.parent)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_root_beside_the_data_is_told_the_one_meant(data, name):
    (data / "new").mkdir()
    assert f"use dataset.root={data}." in said(name, data / "new")


@pytest.mark.parametrize(("name", "folder"), [("mnist", MNIST), ("cifar10", CIFAR)])
def test_files_without_their_folder_are_to_be_moved(data, name, folder):
    (data / folder).rename(data.parent / "loose")
    message = said(name, data.parent / "loose")
    assert f"looks in {data.parent / 'loose' / folder}; move them there." in message


SPELLED = {
    "a folder": (f"{MNIST}", "MNIST/RAW"),
    "the first folder": ("MNIST", "mnist"),
    "a file": (f"{MNIST}/{IMAGES}", f"{MNIST}/Train-Images-idx3-ubyte"),
}


@pytest.mark.parametrize("what", SPELLED)
def test_a_name_in_another_case_is_to_be_renamed(data, what):
    before, after = SPELLED[what]
    (data / before).rename(data / after)
    message = said("mnist", data)
    assert f"torchvision looks for {data / MNIST / IMAGES}, and there is {data / after}" in message


# Files that are not what they should be. The first word says what may be done with them.


def cut(path, keep=1000):
    path.write_bytes(path.read_bytes()[:keep])


DAMAGE = {
    "a truncated file of CIFAR-10": (lambda data: cut(data / CIFAR / "test_batch"), "Delete that file", "cifar10"),
    "two damaged files": (
        lambda data: (cut(data / CIFAR / "test_batch"), cut(data / CIFAR / "data_batch_1")),
        "Delete those files", "cifar10",
    ),
    "another file of CIFAR-10's size": (
        lambda data: (data / CIFAR / "data_batch_1").write_bytes(
            bytes((data / CIFAR / "data_batch_1").stat().st_size)
        ), "Delete that file alone", "cifar10",
    ),
    "a truncated file beside its archive": (
        lambda data: (packed(data, IMAGES), cut(data / MNIST / IMAGES)), "Delete that file alone", "mnist",
    ),
    "a truncated file": (lambda data: cut(data / MNIST / IMAGES), "Move that file elsewhere", "mnist"),
    "truncated labels": (lambda data: cut(data / MNIST / LABELS, 9), "Move that file elsewhere", "mnist"),
    "half a header": (lambda data: cut(data / MNIST / LABELS, 6), "Move that file elsewhere", "mnist"),
    "an empty file": (lambda data: cut(data / MNIST / LABELS, 0), "Move that file elsewhere", "mnist"),
    "a page of errors": (
        lambda data: (data / MNIST / LABELS).write_text("<html>404</html>"), "Move that file elsewhere", "mnist",
    ),
    "a truncated file beside a truncated archive": (
        lambda data: (packed(data, IMAGES), cut(data / MNIST / f"{IMAGES}.gz", 9), cut(data / MNIST / IMAGES)),
        "Move that file elsewhere", "mnist",
    ),
    "a missing file": (lambda data: (data / MNIST / LABELS).unlink(), "is incomplete", "mnist"),
    "a missing batch": (lambda data: (data / CIFAR / "test_batch").unlink(), "is incomplete", "cifar10"),
    "archives alone": (lambda data: pack_all(data, keep=False), "dataset.download=true unpacks it, without", "mnist"),
    "an archive alone that is truncated": (
        lambda data: (pack_all(data, keep=False), cut(data / MNIST / f"{IMAGES}.gz", 9)), "is missing", "mnist",
    ),
    "a folder for a file": (
        lambda data: ((data / MNIST / IMAGES).unlink(), (data / MNIST / IMAGES).mkdir()),
        f"{IMAGES} is a folder where a file belongs", "mnist",
    ),
    "a file for a folder": (
        lambda data: (shutil.rmtree(data / MNIST), (data / MNIST).touch()),
        "raw is a file where a folder belongs", "mnist",
    ),
    "a file for the root": (
        lambda data: (shutil.rmtree(data), data.touch()), "data is a file where a folder belongs", "cifar10",
    ),
    "a link to nothing": (
        lambda data: (shutil.rmtree(data / CIFAR), (data / CIFAR).symlink_to("nothing")),
        "is a link to nothing where a folder belongs", "cifar10",
    ),
    "a linked file to nothing": (
        lambda data: ((data / MNIST / IMAGES).unlink(), (data / MNIST / IMAGES).symlink_to("nothing")),
        "is incomplete", "mnist",
    ),
    "nothing": (shutil.rmtree, "is missing", "mnist"),
}  # fmt: skip


@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_wrong_is_said(data, what, download):
    damage, expected, name = DAMAGE[what]
    damage(data)
    if what == "archives alone" and download:
        assert len(load(name, data, download)[0]) == 20
        return
    message = said(name, data, download)
    assert expected in message
    assert "\n" not in message
    assert ("elete" in message) == expected.startswith("Delete")


def test_only_what_is_proved_damaged_is_to_be_deleted(data):
    """Of all files named for deletion, none has the checksum that torchvision asks for."""
    cut(data / CIFAR / "test_batch")
    message = said("cifar10", data)
    for name, checksum in [*torchvision.datasets.CIFAR10.train_list, *torchvision.datasets.CIFAR10.test_list]:
        assert (name in message) != check_integrity(str(data / CIFAR / name), checksum)


def test_a_truncated_archive_beside_good_files_is_no_matter(data):
    pack_all(data, keep=True)
    cut(data / MNIST / f"{IMAGES}.gz", 9)
    assert len(load("mnist", data)[0]) == 20


def test_an_archive_alone_is_unpacked(data, monkeypatch):
    content = archive_of_cifar(data, monkeypatch)
    shutil.rmtree(data / CIFAR)
    (data / "cifar-10-python.tar.gz").write_bytes(content)
    assert "dataset.download=true unpacks it, without a network" in said("cifar10", data)
    assert len(load("cifar10", data, download=True)[0]) == 10


# What the system refuses


REFUSED = {
    "no permission": (errno.EACCES, "Permission denied; make it readable"),
    "a disk that fails": (errno.EIO, "Input/output error; make it readable"),
}


@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize(("name", "file"), [("mnist", f"{MNIST}/{IMAGES}"), ("cifar10", f"{CIFAR}/data_batch_1")])
@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_cannot_be_read(data, monkeypatch, what, name, file, download):
    number, expected = REFUSED[what]
    original = builtins.open

    def refuse(path, *args, **kwargs):
        if Path(str(path)) == data / file:
            raise OSError(number, os.strerror(number), str(path))
        return original(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", refuse)
    message = said(name, data, download)
    assert f"{data / file}: {expected}" in message
    assert "elete" not in message


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_full_disk(data, monkeypatch, name):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", full)
    message = said(name, data / "new" / "root", download=True)
    assert f"{data / 'new' / 'root'}: No space left on device; make room" in message


def test_a_root_that_cannot_be_made(data, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    message = said("mnist", data / "new" / "root", download=True)
    assert "Read-only file system; make it readable, and writable for a download" in message
