import dataclasses
import hashlib
import pickle
import urllib.error
import urllib.request

import numpy
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_digits

from lipnet.data.augment import crop_and_flip
from lipnet.data.images import Pixels, Split, load_files, load_splits
from lipnet.errors import UserError
from lipnet.options.facts import inputs_and_outputs, with_found
from lipnet.options.registry import image_sets, names_for

MNIST_LIKE = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}

# Every set of labelled images: the fixture that writes its files and what it is given, or None where it needs no files.
SETS = {
    "digits": None,
    **{name: ("mnist_files", folder) for name, folder in MNIST_LIKE.items()},
    "cifar10": ("cifar_files",),
    "stl10": ("stl_files",),
    "cifar100": ("cifar100_files",),
    "svhn": ("svhn_files",),
    "emnist": ("emnist_files",),
    "tiny_imagenet": ("tiny_files",),
    "image_folder": ("own_files", "image_folder"),
    "arrays": ("own_files", "arrays"),
    "table": ("own_files", "table"),
    "circle": None,
    "s_shape": None,
}


PIXELS = [*image_sets(), "image_folder", "arrays"]
TYPES = {"circle": torch.int32, "s_shape": torch.int32, "table": torch.float32}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def digits(make_config):
    """``digits(seed, "validation=0.2", ...)``: the splits of these overrides."""

    def load(seed=0, *overrides):
        return load_splits(make_config(*(f"dataset.{override}" for override in overrides)).dataset, seed)

    return load


def numbered(count, augment=None):
    """A split whose images can be told apart: the first pixel is the example's number."""
    images = torch.randint(256, (count, 3, 8, 8), dtype=torch.uint8)
    images[:, 0, 4, 4] = torch.arange(count)
    return Split(images, torch.arange(count), 255, torch.arange(count), augment)


def order_of(split, *args, **kwargs):
    return torch.cat([labels for _, labels in split.training_batches(*args, **kwargs)]).tolist()


def sources(split):
    return set(split.indices.tolist())


# The digits that ship with scikit-learn


def test_digits_are_those_of_scikit_learn(digits):
    splits, original = digits(), load_digits()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1293, 144, 360)
    for split in (splits.train, splits.validation, splits.test):
        expected = torch.from_numpy(original.images / 16).float()[split.indices, None]
        assert torch.equal(split.pixels(), expected)
        assert split.labels.tolist() == original.target[split.indices.numpy()].tolist()
        assert split.labels.dtype == torch.int64
        assert (float(split.pixels().min()), float(split.pixels().max())) == (0, 1)
    assert sources(splits.train) | sources(splits.validation) | sources(splits.test) == set(range(1797))


@pytest.mark.parametrize(("fraction", "held_out"), [(0, 0), (0.1, 144), (0.5, 718)])
def test_validation_is_a_part_of_training_held_out(digits, fraction, held_out):
    splits = digits(0, f"validation={fraction}")
    assert (len(splits.train), len(splits.validation)) == (1437 - held_out, held_out)
    assert not sources(splits.train) & sources(splits.validation)
    assert not (sources(splits.train) | sources(splits.validation)) & sources(splits.test)


def test_splits_depend_on_the_seed_alone(digits):
    first = digits(3)
    torch.manual_seed(99)
    again, other = digits(3), digits(4)
    assert first.validation.indices.tolist() == again.validation.indices.tolist()
    assert first.train.indices.tolist() == again.train.indices.tolist()
    assert sources(first.validation) != sources(other.validation)
    assert first.test.indices.tolist() == again.test.indices.tolist() == other.test.indices.tolist()


def test_limits_take_some_examples_after_a_shuffle(digits):
    full, limited = digits(1), digits(1, "limit_train=50", "limit_test=20")
    assert (len(limited.train), len(limited.test)) == (50, 20)
    assert len(limited.validation) == len(full.validation)
    assert sources(limited.train) < sources(full.train)
    assert sources(limited.test) < sources(full.test)
    assert len(sources(limited.test)) == 20
    assert limited.test.indices.tolist() != full.test.indices[:20].tolist()
    assert sources(digits(2, "limit_test=20").test) != sources(limited.test)
    assert digits(1, "limit_test=20").test.indices.tolist() == limited.test.indices.tolist()


def test_limits_beyond_the_data_take_all(digits):
    splits = digits(0, "limit_train=100000", "limit_test=100000")
    assert (len(splits.train), len(splits.test)) == (1293, 360)


# Batches


def test_pixels_are_made_of_what_is_stored_when_they_are_asked_for():
    split = numbered(9)
    pixels = Pixels(split)
    assert (len(pixels), pixels.shape, pixels.dtype) == (9, split.images.shape, torch.float32)
    assert torch.equal(pixels[:], split.pixels())
    assert torch.equal(pixels[torch.tensor([4, 2])], split.pixels()[[4, 2]])
    assert torch.equal(pixels[:3], split.pixels()[:3])


@pytest.mark.parametrize("batch_size", [1, 7, 20, 50])
def test_evaluation_batches_keep_the_order(batch_size):
    split = numbered(20)
    batches = list(split.batches(batch_size))
    assert [len(labels) for _, labels in batches][:-1] == [batch_size] * (len(batches) - 1)
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(20))
    images = torch.cat([images for images, _ in batches])
    assert images.dtype == torch.float32
    assert torch.equal(images, (split.images.double() / 255).float())


@pytest.mark.parametrize("batch_size", [1, 7, 20, 50])
def test_training_batches_cover_every_example_once(batch_size):
    split = numbered(20)
    for images, labels in split.training_batches(batch_size, seed=0, epoch=0):
        assert len(images) == len(labels) <= batch_size
        assert (images[:, 0, 4, 4] * 255).round().long().tolist() == labels.tolist()
    assert sorted(order_of(split, batch_size, seed=0, epoch=0)) == list(range(20))


def test_training_order_depends_on_seed_and_epoch_alone():
    split = numbered(100)
    order = order_of(split, 10, seed=5, epoch=2)
    torch.manual_seed(99)
    assert order_of(split, 10, seed=5, epoch=2) == order
    assert order_of(split, 33, seed=5, epoch=2) == order
    others = [order_of(split, 10, seed, epoch) for seed, epoch in [(5, 3), (6, 2), (2, 5), (0, 0)]]
    assert all(other != order for other in others)


@pytest.mark.parametrize("augment", [None, crop_and_flip], ids=["plain", "augmented"])
@pytest.mark.parametrize("first", [0, 1, 4, 5])
def test_an_epoch_can_be_entered_anywhere(augment, first):
    split = numbered(45, augment)
    whole = list(split.training_batches(10, seed=1, epoch=3))
    rest = list(split.training_batches(10, seed=1, epoch=3, first=first))
    assert len(whole) == 5
    assert len(rest) == 5 - first
    for (images, labels), (expected_images, expected_labels) in zip(rest, whole[first:], strict=True):
        assert torch.equal(images, expected_images)
        assert torch.equal(labels, expected_labels)


def test_augmentation_is_for_training_batches_and_changes_every_epoch():
    plain, augmented = numbered(30), numbered(30, crop_and_flip)
    augmented = dataclasses.replace(augmented, images=plain.images)
    assert torch.equal(next(augmented.batches(30))[0], next(plain.batches(30))[0])
    by_epoch = []
    for epoch in (0, 1):
        images, labels = next(augmented.training_batches(30, seed=0, epoch=epoch))
        by_epoch.append(images[labels.argsort()])
    assert not torch.equal(by_epoch[0], plain.pixels())
    assert not torch.equal(by_epoch[0], by_epoch[1])


def test_augmentation_differs_between_the_batches_of_an_epoch():
    image = torch.randint(256, (1, 3, 8, 8), dtype=torch.uint8)
    split = Split(image.expand(40, -1, -1, -1), torch.arange(40), 255, torch.arange(40), crop_and_flip)
    first, second = (images for images, _ in split.training_batches(20, seed=0, epoch=0))
    assert not torch.equal(first, second)


# Files as torchvision lays them out


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + numpy.array(array.shape, dtype=">u4").tobytes()
    path.write_bytes(header + array.astype(numpy.uint8).tobytes())


def random_images(*shape):
    return numpy.random.default_rng(0).integers(256, size=shape, dtype=numpy.uint8)


@pytest.fixture
def mnist_files(tmp_path):
    """Writes 20 training and 6 test images; returns the folder of the files."""

    def write(name="MNIST"):
        raw = tmp_path / name / "raw"
        raw.mkdir(parents=True)
        for part, count in (("train", 20), ("t10k", 6)):
            write_idx(raw / f"{part}-images-idx3-ubyte", random_images(count, 28, 28))
            write_idx(raw / f"{part}-labels-idx1-ubyte", numpy.arange(count) % 10)
        return raw

    return write


@pytest.fixture
def cifar_files(tmp_path, monkeypatch):
    """Writes two training files and one of test images, and tells torchvision their checksums."""

    def write(size=32, labels=None, count=4, test_batch=None):
        folder = tmp_path / "cifar-10-batches-py"
        folder.mkdir()
        names = [f"class {number}" for number in range(10)]
        files = {"batches.meta": {"label_names": names}}
        for part in ("data_batch_1", "data_batch_2", "test_batch"):
            files[part] = {"data": random_images(count, 3 * size * size), "labels": labels or [1, 9, 0, 3]}
        checksums = {}
        for name, content in files.items():
            data = test_batch if test_batch and name == "test_batch" else pickle.dumps(content, protocol=2)
            (folder / name).write_bytes(data)
            checksums[name] = hashlib.md5(data).hexdigest()
        source = torchvision.datasets.CIFAR10
        training = [[name, checksums[name]] for name in ("data_batch_1", "data_batch_2")]
        monkeypatch.setattr(source, "train_list", training)
        monkeypatch.setattr(source, "test_list", [["test_batch", checksums["test_batch"]]])
        monkeypatch.setattr(source, "meta", source.meta | {"md5": checksums["batches.meta"]})
        return folder

    return write


@pytest.fixture
def stl_files(tmp_path, monkeypatch):
    """Writes the same eight images as training and test split, column by column, with labels from 1; returns them."""

    def write():
        folder = tmp_path / "stl10_binary"
        folder.mkdir()
        images = random_images(8, 3, 96, 96)
        images[0] = 77
        images[1, :, :48], images[1, :, 48:] = 0, 255
        for part in ("train", "test"):
            (folder / f"{part}_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())
            (folder / f"{part}_y.bin").write_bytes(bytes([1, 10, 2, 3, 4, 5, 6, 7]))
        monkeypatch.setattr(torchvision.datasets.STL10, "_check_integrity", lambda self: True)
        return images

    return write


@pytest.fixture
def cifar100_files(tmp_path, monkeypatch):
    """Writes one training and one test file, and tells torchvision their checksums."""

    def write():
        folder = tmp_path / "cifar-100-python"
        folder.mkdir()
        source, checksums = torchvision.datasets.CIFAR100, {}
        files = {name: {"data": random_images(4, 3072), "fine_labels": [0, 99, 7, 50]} for name in ("train", "test")}
        for name, content in {"meta": {"fine_label_names": list(map(str, range(100)))}, **files}.items():
            data = pickle.dumps(content, protocol=2)
            (folder / name).write_bytes(data)
            checksums[name] = hashlib.md5(data).hexdigest()
        monkeypatch.setattr(source, "train_list", [["train", checksums["train"]]])
        monkeypatch.setattr(source, "test_list", [["test", checksums["test"]]])
        monkeypatch.setattr(source, "meta", source.meta | {"md5": checksums["meta"]})

    return write


@pytest.fixture
def svhn_files(tmp_path, monkeypatch):
    """Writes both parts as MATLAB files, where the digit 0 has the label 10."""

    def write():
        from scipy.io import savemat

        images = random_images(32, 32, 3, 10)
        images[0, 0, 0, :2] = 0, 255
        for part in ("train", "test"):
            savemat(tmp_path / f"{part}_32x32.mat", {"X": images, "y": numpy.arange(1, 11)[:, None]})
        monkeypatch.setattr(torchvision.datasets.SVHN, "_check_integrity", lambda self: True)

    return write


@pytest.fixture
def emnist_files(tmp_path):
    """Writes both balanced parts, whose images lie on their side."""

    def write():
        raw = tmp_path / "EMNIST" / "raw"
        raw.mkdir(parents=True)
        for part in ("train", "test"):
            write_idx(raw / f"emnist-balanced-{part}-images-idx3-ubyte", random_images(47, 28, 28))
            write_idx(raw / f"emnist-balanced-{part}-labels-idx1-ubyte", numpy.arange(47))

    return write


@pytest.fixture
def tiny_files(tmp_path):
    """Writes two pictures of two of the classes for training, and one of each to test, as they are unpacked."""

    def write():
        folder, images = tmp_path / "tiny-imagenet-200", random_images(6, 64, 64, 3)
        names = ["n02", "n01"]
        for name in names:
            (folder / "train" / name / "images").mkdir(parents=True)
            (folder / "train" / name / f"{name}_boxes.txt").touch()
        (folder / "val" / "images").mkdir(parents=True)
        (folder / "wnids.txt").write_text("\n".join(names))
        for number, image in enumerate(images[:4]):
            name = names[number % 2]
            Image.fromarray(image).save(folder / "train" / name / "images" / f"{name}_{number}.png")
        for number, image in enumerate(images[4:]):
            Image.fromarray(image).save(folder / "val" / "images" / f"val_{number}.png")
        (folder / "val" / "val_annotations.txt").write_text("val_0.png\tn02\t0\t0\nval_1.png\tn01\t0\t0\n")

    return write


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    """Writes a user's own data; returns the keys that name them."""

    def write(name):
        images, labels = random_images(20, 6, 5), numpy.arange(20) % 2
        if name == "image_folder":
            for number, image in enumerate(images):
                folder = tmp_path / "pictures" / "ab"[labels[number]]
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(folder / f"{number:02}.png")
            return {"root": str(tmp_path / "pictures"), "channels": 1, "cache": str(tmp_path)}
        if name == "arrays":
            images[0, 0, :2] = 0, 255
            numpy.savez(tmp_path / "data.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
            return {"file": str(tmp_path / "data.npz")}
        rows = [
            f"{row[0]},{row[1] / 10},{'no' if label else 'yes'}"
            for row, label in zip(images[:, 0], labels, strict=True)
        ]
        (tmp_path / "data.csv").write_text("\n".join(["first,second,kind", *rows]))
        return {"file": str(tmp_path / "data.csv"), "target": "kind"}

    return write


def test_emnist_is_turned_upright(emnist_files, make_config, tmp_path):
    emnist_files()
    option = dataclasses.replace(make_config("dataset=emnist").dataset, root=str(tmp_path), download=False)
    assert torch.equal(load_files(option)[0].images[:, 0], torch.from_numpy(random_images(47, 28, 28)).mT)


def test_svhns_zero_is_class_0(svhn_files, make_config, tmp_path):
    svhn_files()
    option = dataclasses.replace(make_config("dataset=svhn").dataset, root=str(tmp_path), download=False)
    assert load_files(option)[0].labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


@pytest.fixture
def load_stored(tmp_path, make_config):
    def load(dataset, *overrides, root=tmp_path):
        given = [f"dataset.{override}" for override in ("download=false", "validation=0.25", *overrides)]
        config = make_config(f"dataset={dataset}", *given).dataset
        return load_splits(dataclasses.replace(config, root=str(root)), seed=0)

    return load


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_what_its_registration_says(name, request, make_config, tmp_path):
    """Images of its shape, or points, every example a label of its classes, the same ones each time."""
    option = make_config(f"dataset={name}").dataset
    if SETS[name] is not None:
        fixture, *given = SETS[name]
        written = request.getfixturevalue(fixture)(*given)
        if fixture == "own_files":
            option = with_found(dataclasses.replace(option, **written))
    if name == "tiny_imagenet":
        option = dataclasses.replace(option, root=str(tmp_path), cache=str(tmp_path))
    if hasattr(option, "download"):
        option = dataclasses.replace(option, root=str(tmp_path), download=False)
    parts, again = load_files(option), load_files(option)
    for part, other in zip(parts, again, strict=True):
        (shape, classes), dtype = inputs_and_outputs(option), torch.uint8 if name in PIXELS else TYPES[name]
        assert (tuple(part.images.shape[1:]), part.images.dtype) == (shape, dtype)
        assert set(part.labels.tolist()) <= set(range(classes))
        assert part.labels.dtype == torch.int64
        assert torch.equal(part.images[:], other.images[:])
        assert torch.equal(part.labels, other.labels)
        reach = (int(part.images[:].min()), int(part.images[:].max()))
        if name in PIXELS:
            assert 0 <= reach[0] <= reach[1] <= part.maximum
        elif TYPES[name] == torch.float32:  # in units of their own
            assert part.maximum == 1
        elif part is parts[1]:
            assert reach == (0, part.maximum)
        else:  # of points drawn at random
            assert 0 <= reach[0] < 0.01 * part.maximum
            assert 0.99 * part.maximum < reach[1] <= part.maximum
    assert option.crop == 0 or option.crop < inputs_and_outputs(option)[0][1]


def test_every_set_is_loaded_and_tested():
    assert set(names_for("dataset", "images")) == set(SETS)


def assert_holds(split, images, labels):
    """The split's pixels and labels are the stored ones at its indices."""
    indices = split.indices.numpy()
    assert torch.equal(split.pixels(), torch.from_numpy(images[indices] / 255).float())
    assert split.labels.tolist() == [labels[index] for index in indices]
    assert split.labels.dtype == torch.int64
    assert split.augment is None


@pytest.mark.parametrize(("dataset", "folder"), list(MNIST_LIKE.items()))
def test_mnist_like_files_load(dataset, folder, mnist_files, load_stored):
    mnist_files(folder)
    splits = load_stored(dataset)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (15, 5, 6)
    for split, count in ((splits.train, 20), (splits.validation, 20), (splits.test, 6)):
        assert_holds(split, random_images(count, 1, 28, 28), [number % 10 for number in range(count)])


@pytest.mark.parametrize("crop", [0, 1])
def test_mnist_is_shifted_where_asked_and_never_flipped(crop, mnist_files, load_stored):
    mnist_files("MNIST")
    split = load_stored("mnist", f"crop={crop}").train
    images = torch.rand(15, 1, 28, 28)
    if crop:
        found = split.augment(images, torch.Generator().manual_seed(1))
        assert torch.equal(found, crop_and_flip(images, torch.Generator().manual_seed(1), crop, flips=False))
    else:
        assert split.augment is None


@pytest.mark.parametrize(("augment", "crop"), [(True, 4), (True, 0), (False, 4)])
def test_cifar_files_load(augment, crop, cifar_files, load_stored):
    cifar_files()
    splits = load_stored("cifar10", f"augment={augment}", f"crop={crop}")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (6, 2, 4)
    if augment:
        images, draw = torch.rand(6, 3, 32, 32), torch.Generator().manual_seed
        assert torch.equal(splits.train.augment(images, draw(1)), crop_and_flip(images, draw(1), crop))
    else:
        assert splits.train.augment is None
    training = numpy.concatenate([random_images(4, 3, 32, 32)] * 2)
    assert_holds(dataclasses.replace(splits.train, augment=None), training, [1, 9, 0, 3] * 2)
    assert_holds(splits.validation, training, [1, 9, 0, 3] * 2)
    assert_holds(splits.test, random_images(4, 3, 32, 32), [1, 9, 0, 3])


def test_stl_files_load_resized(stl_files, load_stored):
    """Constant images stay what they are, others keep their mean."""
    images = stl_files()
    test = load_stored("stl10").test
    assert test.images.shape == (8, 3, 64, 64)
    assert test.labels.tolist() == [0, 9, 1, 2, 3, 4, 5, 6]
    assert bool((test.images[0] == 77).all())
    means = torch.from_numpy(images).float().mean((2, 3))
    torch.testing.assert_close(test.images.float().mean((2, 3)), means, atol=1.0, rtol=0)
    left = torch.from_numpy(images[..., :48]).float().mean((2, 3))  # rows and columns in their places
    torch.testing.assert_close(test.images[..., :32].float().mean((2, 3)), left, atol=2.0, rtol=0)


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


IMAGES, LABELS = "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
MNIST_DAMAGE = {
    "missing images": lambda raw: (raw / IMAGES).unlink(),
    "missing test labels": lambda raw: (raw / LABELS).unlink(),
    "truncated images": lambda raw: cut(raw / IMAGES, 5000),
    "truncated labels": lambda raw: cut(raw / LABELS, 10),
    "header only": lambda raw: cut(raw / IMAGES, 16),
    "half a header": lambda raw: cut(raw / IMAGES, 6),
    "empty file": lambda raw: cut(raw / LABELS, 0),
    "garbage": lambda raw: (raw / IMAGES).write_bytes(random_images(9000).tobytes()),
    "garbage labels": lambda raw: (raw / LABELS).write_bytes(b"<html>404 not found</html>"),
    "garbage behind a header": lambda raw: (raw / IMAGES).write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 400),
    "20x20 images": lambda raw: write_idx(raw / IMAGES, random_images(20, 20, 20)),
    "one long row of pixels": lambda raw: write_idx(raw / IMAGES, random_images(20, 784)),
    "label 10": lambda raw: write_idx(raw / LABELS, numpy.array([0, 1, 2, 3, 4, 10])),
    "more labels than images": lambda raw: write_idx(raw / LABELS, numpy.zeros(7)),
    "fewer labels than images": lambda raw: write_idx(raw / LABELS, numpy.zeros(5)),
    "no images": lambda raw: write_idx(raw / IMAGES, random_images(0, 28, 28)),
    "a folder in place of a file": lambda raw: ((raw / IMAGES).unlink(), (raw / IMAGES).mkdir()),
}


@pytest.mark.parametrize("damage", list(MNIST_DAMAGE.values()), ids=list(MNIST_DAMAGE))
def test_damaged_mnist_files_are_a_users_error(damage, mnist_files, load_stored):
    damage(mnist_files())
    with pytest.raises(UserError, match=r"dataset\.root=|dataset=mnist"):
        load_stored("mnist")


CIFAR_DAMAGE = {
    "missing file": lambda write: (write() / "data_batch_2").unlink(),
    "missing names": lambda write: (write() / "batches.meta").unlink(),
    "truncated": lambda write: cut(write() / "test_batch", 100),
    "garbage": lambda write: (write() / "data_batch_1").write_bytes(b"garbage"),
    "no pickle": lambda write: write(test_batch=b"garbage"),
    "half a pickle": lambda write: write(test_batch=pickle.dumps({"data": 1})[:8]),
    "a pickle without images": lambda write: write(test_batch=pickle.dumps({"labels": [0]})),
    "16x16 images": lambda write: write(size=16),
    "20x20 images": lambda write: write(size=20),
    "label 10": lambda write: write(labels=[0, 1, 2, 10]),
    "negative label": lambda write: write(labels=[0, 1, 2, -1]),
    "fewer labels than images": lambda write: write(labels=[0, 1, 2]),
}


@pytest.mark.parametrize("damage", list(CIFAR_DAMAGE.values()), ids=list(CIFAR_DAMAGE))
def test_damaged_cifar_files_are_a_users_error(damage, cifar_files, load_stored):
    damage(cifar_files)
    with pytest.raises(UserError, match=r"dataset\.root=|dataset=cifar10"):
        load_stored("cifar10")


NO_NUMBERS = {
    "NaN pixels": numpy.full((4, 3072), numpy.nan),
    "fractions of pixels": random_images(4, 3072) / 255,
    "signed pixels": random_images(4, 3072).astype(numpy.int16) - 128,
}


@pytest.mark.parametrize("data", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_pixels_of_another_type_are_a_users_error(data, cifar_files, load_stored):
    content = pickle.dumps({"data": data, "labels": [1, 9, 0, 3]}, protocol=2)
    cifar_files(test_batch=content)
    with pytest.raises(UserError, match=r"^dataset=cifar10: the test images are torch\.\w+, which can hold NaN"):
        load_stored("cifar10")


class _Malicious:
    def __reduce__(self):
        return (print, ("code ran",))


def test_data_files_are_not_unpickled_before_their_checksum(cifar_files, load_stored, capsys):
    (cifar_files() / "data_batch_1").write_bytes(pickle.dumps(_Malicious()))
    with pytest.raises(UserError, match=r"dataset\.root="):
        load_stored("cifar10")
    assert "code ran" not in capsys.readouterr().out


def test_one_class_is_refused(cifar_files, load_stored):
    cifar_files(labels=[3, 3, 3, 3])
    with pytest.raises(UserError, match=r"^dataset=cifar10: all 6 training examples have the label 3; a classifier"):
        load_stored("cifar10")


def test_a_limit_that_leaves_one_class_is_refused(digits):
    with pytest.raises(UserError, match=r"all 1 training examples have the label \d.*dataset\.limit_train=1"):
        digits(0, "limit_train=1")


def test_a_validation_split_that_rounds_to_nothing_is_refused(digits):
    with pytest.raises(UserError, match=r"^dataset\.validation=0\.0001: holds out none of 1437 .*, or 0 for none"):
        digits(0, "validation=0.0001")


@pytest.mark.parametrize("dataset", [*MNIST_LIKE, "cifar10"])
@pytest.mark.parametrize("download", [False, True])
def test_missing_data_are_a_users_error_with_and_without_download(dataset, download, load_stored, tmp_path):
    with pytest.raises(UserError, match=r"dataset\.root=.*is missing") as caught:
        load_stored(dataset, f"download={download}", root=tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(caught.value)
    assert ("dataset.download=false" in str(caught.value)) != download
    assert "\n" not in str(caught.value)


def test_folder_that_is_not_asked_for_is_not_made(load_stored, tmp_path):
    with pytest.raises(UserError):
        load_stored("mnist", root=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("download", [False, True])
def test_root_that_is_a_file_is_a_users_error(download, load_stored, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"dataset\.root="):
        load_stored("mnist", f"download={download}", root=tmp_path / "file")


def test_files_at_hand_are_not_fetched_again(mnist_files, load_stored):
    mnist_files()
    assert len(load_stored("mnist", "download=true").test) == 6
