"""A user's own data: what is found of them, how they are split, and what is said of bad ones."""

import dataclasses

import numpy
import pytest
import torch
from PIL import Image

from lipnet.data.images import load_files, load_splits
from lipnet.data.pairs import load_pair
from lipnet.errors import UserError
from lipnet.options.facts import look_again, with_found
from lipnet.randomness import stream

RANDOM = numpy.random.default_rng(0)
VECTORS, PIXELS = RANDOM.normal(size=(60, 3)), RANDOM.integers(256, size=(60, 5, 4), dtype=numpy.uint8)
LABELS = numpy.arange(60) % 3
ROWS = "\n".join(f"{a:.3f},{b:.3f},{'xyz'[label]}" for (a, b, _), label in zip(VECTORS, LABELS, strict=True))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    look_again()
    yield tmp_path
    look_again()


@pytest.fixture
def option(make_config, here):
    """``option("table", file="x.csv")``: the checked option."""

    def make(name, **keys):
        task = ["task=wasserstein"] if name == "samples" else []
        return dataclasses.replace(make_config(f"dataset={name}", *task).dataset, **keys)

    return make


def pictures(folder, names="ab", count=6, size=(5, 4)):
    for number in range(count):
        for name in names:
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.new("L", size, 10 * number).save(folder / name / f"{number}.png")


def npz(**arrays):
    numpy.savez("x.npz", **arrays)


def csv(text):
    with open("x.csv", "w") as file:
        file.write(text)


def npy(name, array):
    numpy.save(name, array)


# What is written, the option's keys, and the facts that are found.
FOUND = {
    "one tree": (
        lambda here: pictures(here / "root"), "image_folder", {"root": "root"},
        {"classes": ["a", "b"], "shape": [3, 4, 5], "mean": [0.0] * 3, "std": [1.0] * 3},
    ),
    "two trees": (
        lambda here: (pictures(here / "root" / "train"), pictures(here / "root" / "test")), "image_folder",
        {"root": "root", "channels": 1, "image_size": 8}, {"classes": ["a", "b"], "shape": [1, 8, 8], "mean": [0.0]},
    ),
    "grey images": (
        lambda here: npz(x_train=PIXELS, y_train=LABELS), "arrays", {"file": "x.npz"},
        {"classes": ["0", "1", "2"], "shape": [1, 5, 4], "mean": [0.0], "std": [1.0]},
    ),
    "colour last": (
        lambda here: npz(x_train=RANDOM.random((60, 5, 4, 3)), y_train=LABELS), "arrays", {"file": "x.npz"},
        {"shape": [3, 5, 4], "std": [1.0] * 3},
    ),
    "labels are sorted as numbers": (
        lambda here: npz(x_train=VECTORS, y_train=LABELS + 9), "arrays", {"file": "x.npz"},
        {"classes": ["9", "10", "11"], "shape": [3]},
    ),
    "two files": (
        lambda here: (npy("x.npy", VECTORS), npy("y.npy", numpy.array(["u", "v"] * 30))), "arrays",
        {"file": "x.npy", "labels": "y.npy"}, {"classes": ["u", "v"], "shape": [3]},
    ),
    "table": (
        lambda here: csv(f"p,q,kind\n{ROWS}\n"), "table", {"file": "x.csv", "target": "kind"},
        {"classes": ["x", "y", "z"], "columns": ["p", "q"], "shape": [2]},
    ),
    "given keys stay": (
        lambda here: csv(f"p,q,kind\n{ROWS}\n"), "table",
        {"file": "x.csv", "target": "kind", "mean": [0.0, 1.0], "classes": ["z", "y", "x"]},
        {"classes": ["z", "y", "x"], "mean": [0.0, 1.0]},
    ),
    "samples": (
        lambda here: (npy("a.npy", RANDOM.normal(size=(200, 3))), npy("b.npy", RANDOM.normal(size=(300, 3)))),
        "samples", {"first": "a.npy", "second": "b.npy"},
        {"shape": [3], "selection_samples": 20, "evaluation_samples": 80},
    ),
    "sampled pictures": (
        lambda here: (pictures(here / "p", "a", 100), pictures(here / "q", "a", 101)), "samples",
        {"first": "p", "second": "q", "channels": 1}, {"shape": [1, 4, 5], "evaluation_samples": 40},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("write", "name", "keys", "facts"), FOUND.values(), ids=FOUND)
def test_what_is_null_is_found(write, name, keys, facts, option, here):
    write(here)
    found = with_found(option(name, **keys, **({"cache": "."} if hasattr(option(name), "cache") else {})))
    assert {key: getattr(found, key) for key in facts} == facts
    assert len(found.content) == 16
    if name == "samples":
        pair = load_pair(found)
        parts = {part: pair.samples(part, 1000, 0) for part in ("selection", "evaluation")}
        training = pair.draw("training", 4000, stream(0, "x"))
        assert training[0].dtype == torch.float64
        for side in (0, 1):
            rows = {part: {tuple(row.flatten().tolist()) for row in values[side]} for part, values in parts.items()}
            rows["training"] = {tuple(row.flatten().tolist()) for row in training[side]}
            if found.shape == [3]:
                assert len(rows["evaluation"]) == len(parts["evaluation"][side]) >= found.evaluation_samples
                assert not rows["evaluation"] & rows["selection"]
                assert not (rows["evaluation"] | rows["selection"]) & rows["training"]
        return
    train, test = load_files(found)
    assert set(train.labels.tolist()) == set(test.labels.tolist()) == set(range(len(found.classes)))
    if not (here / "root" / "test").exists():
        counts = [(int((test.labels == number).sum()), int((train.labels == number).sum())) for number in range(2)]
        assert all(0.1 < one / (one + other) < 0.3 for one, other in counts)


def test_a_table_is_standardised_by_its_training_rows(option):
    csv(f"p,q,kind\n{ROWS}\n")
    found = with_found(option("table", file="x.csv", target="kind"))
    train, test = load_files(found)
    assert train.pixels().mean(0).tolist() == pytest.approx(found.mean, abs=1e-5)
    assert train.pixels().std(0, correction=0).tolist() == pytest.approx(found.std, rel=1e-4)
    assert not {*map(tuple, train.pixels().tolist())} & {*map(tuple, test.pixels().tolist())}
    low, side = train.box
    both = torch.cat((train.pixels(), test.pixels()))
    assert bool((both >= low).all())
    assert bool((both <= low + side).all())


def test_the_test_part_depends_on_the_sets_own_seed_alone(option):
    npz(x_train=VECTORS, y_train=LABELS)
    parts = [load_files(option("arrays", file="x.npz", seed=seed), run)[1] for seed, run in ((0, 0), (0, 1), (1, 0))]
    first, other_run, other = ([*map(tuple, part.pixels().tolist())] for part in parts)
    assert first == other_run
    assert set(first) != set(other)


def test_pictures_stay_in_their_file_until_they_are_asked_for(option, here):
    pictures(here / "root", count=20)
    splits = load_splits(with_found(option("image_folder", root="root", cache=".", validation=0.25)), 0)
    assert type(splits.train.images).__name__ == "Rows"
    whole = [images for images, _ in splits.train.training_batches(5, seed=0, epoch=1)]
    assert torch.equal(torch.cat(whole[2:]), torch.cat([x for x, _ in splits.train.training_batches(5, 0, 1, first=2)]))
    assert splits.train.to(torch.device("cpu")).pixels(slice(2)).shape == (2, 3, 4, 5)


def bad_picture(here):
    pictures(here / "root")
    (here / "root" / "a" / "bad.png").write_bytes(b"x")


# What is written, the option's keys, and what is said: one problem each.
BAD = {
    "no root": (lambda here: None, "image_folder", {}, "dataset.root=null: give a folder with a folder of pictures"),
    "root is not there": (lambda here: None, "image_folder", {"root": "x"}, "dataset.root=x: there is no such folder"),
    "root is a file": (lambda here: csv(""), "image_folder", {"root": "x.csv"}, "is a file, not a folder"),
    "one class": (lambda here: pictures(here / "x", "a"), "image_folder", {"root": "x"}, "has 1 folders of classes"),
    "empty class": (
        lambda here: (pictures(here / "x"), (here / "x" / "c").mkdir()), "image_folder", {"root": "x"},
        "no picture in c; add some, or remove the folder",
    ),
    "loose pictures": (
        lambda here: (pictures(here / "x"), Image.new("L", (2, 2)).save(here / "x" / "y.png")), "image_folder",
        {"root": "x"}, "pictures in no folder of a class: y.png",
    ),
    "other files": (
        lambda here: (pictures(here / "x"), (here / "x" / "a" / "n.txt").touch()), "image_folder", {"root": "x"},
        r"1 files that are no pictures \(.*\): a/n.txt; move them",
    ),
    "class without test": (
        lambda here: (pictures(here / "x" / "train", "abc"), pictures(here / "x" / "test")), "image_folder",
        {"root": "x"}, "test has no folder of c",
    ),
    "class of the test alone": (
        lambda here: (pictures(here / "x" / "train"), pictures(here / "x" / "test", "abc")), "image_folder",
        {"root": "x"}, "test has folders that are none of the classes of train: c",
    ),
    "not a run's class": (
        lambda here: pictures(here / "x", "abc"), "image_folder", {"root": "x", "classes": ["a", "b"]},
        "none of the run's classes: c",
    ),
    "one picture of a class": (
        lambda here: pictures(here / "x", count=1), "image_folder", {"root": "x"}, "one picture in a, b",
    ),
    "interpolation": (
        lambda here: pictures(here / "x", ["a", "${oc.env:HOME}"]), "image_folder", {"root": "x"}, "may not be",
    ),
    "a corrupt first picture": (
        lambda here: (pictures(here / "x"), (here / "x" / "a" / "0.png").write_bytes(b"1")), "image_folder",
        {"root": "x"}, "0.png cannot be read",
    ),
    "a corrupt picture": (bad_picture, "image_folder", {"root": "root"}, r"1 of 13 pictures .*: a/bad.png \(cannot"),
    "two sizes": (
        lambda here: (pictures(here / "x"), pictures(here / "x", "c", size=(9, 9))), "image_folder", {"root": "x"},
        "6 of 18 pictures .*9x9, and the first picture is 5x4: dataset.image_size=N makes all NxN",
    ),
    "no file": (lambda here: None, "arrays", {}, "dataset.file=null: give a .npz file with x_train"),
    "file is not there": (lambda here: None, "arrays", {"file": "x.npz"}, "there is no such file"),
    "file is a folder": (lambda here: None, "arrays", {"file": "."}, "is a folder, not a file"),
    "no npz": (lambda here: csv("1,2"), "arrays", {"file": "x.csv"}, "cannot be read"),
    "pickled": (
        lambda here: npz(x_train=numpy.array([{}], dtype=object), y_train=[1]), "arrays", {"file": "x.npz"},
        "cannot be read .*allow_pickle",
    ),
    "no labels in it": (lambda here: npz(x_train=VECTORS), "arrays", {"file": "x.npz"}, "has no y_train, but x_train"),
    "half a test": (
        lambda here: npz(x_train=VECTORS, y_train=LABELS, x_test=VECTORS), "arrays", {"file": "x.npz"}, "has no y_test",
    ),
    "npy without labels": (lambda here: npy("x.npy", VECTORS), "arrays", {"file": "x.npy"}, "dataset.labels=null"),
    "npz with labels": (
        lambda here: npz(x_train=VECTORS, y_train=LABELS), "arrays", {"file": "x.npz", "labels": "y.npy"},
        "dataset.labels=y.npy: a .npz file has its labels in it",
    ),
    "lengths": (lambda here: npz(x_train=VECTORS, y_train=LABELS[1:]), "arrays", {"file": "x.npz"}, "60 exam.* 59"),
    "axes": (lambda here: npz(x_train=LABELS, y_train=LABELS), "arrays", {"file": "x.npz"}, r"has the shape \(60,\)"),
    "NaN": (
        lambda here: npz(x_train=numpy.where(VECTORS > 2, numpy.nan, VECTORS), y_train=LABELS), "arrays",
        {"file": "x.npz"}, "x_train holds NaN or infinity",
    ),
    "images beyond 1": (
        lambda here: npz(x_train=2.0 * PIXELS, y_train=LABELS), "arrays", {"file": "x.npz"}, "images are uint8, or",
    ),
    "labels are fractions": (
        lambda here: npz(x_train=VECTORS, y_train=LABELS / 2), "arrays", {"file": "x.npz"}, "labels are .* whole",
    ),
    "one label": (lambda here: npz(x_train=VECTORS, y_train=0 * LABELS), "arrays", {"file": "x.npz"}, "has one class"),
    "two shapes": (
        lambda here: npz(x_train=VECTORS, y_train=LABELS, x_test=VECTORS[:, 1:], y_test=LABELS), "arrays",
        {"file": "x.npz"}, "examples of both parts must have one shape",
    ),
    "labels of no class": (
        lambda here: npz(x_train=VECTORS, y_train=LABELS), "arrays", {"file": "x.npz", "classes": ["0", "1"]},
        "y_train has 2, none of the run's classes",
    ),
    "no target": (lambda here: csv(f"p,q,kind\n{ROWS}"), "table", {"file": "x.csv"}, "dataset.target=null: .* p, q"),
    "another target": (
        lambda here: csv(f"p,q,kind\n{ROWS}"), "table", {"file": "x.csv", "target": "kin"}, "did you mean kind",
    ),
    "no header": (lambda here: csv(""), "table", {"file": "x.csv", "target": "kind"}, "its first line names 0 columns"),
    "a column twice": (
        lambda here: csv("p,p,k\n1,2,3"), "table", {"file": "x.csv", "target": "k"}, "name of their own: 'p'",
    ),
    "texts among numbers": (
        lambda here: csv(f"p,q,kind\n{ROWS}\n1,,x\nnan,inf,y\n1,2\n"), "table", {"file": "x.csv", "target": "kind"},
        "4 cells are no finite numbers: line 62, q='', line 63, p='nan', line 63, q='inf', line 64, 2 cells where 3",
    ),
    "one value": (lambda here: csv("p,k\n1,a\n2,a"), "table", {"file": "x.csv", "target": "k"}, "k has one value"),
    "one row of a class": (
        lambda here: csv("p,k\n1,a\n2,a\n3,b"), "table", {"file": "x.csv", "target": "k"}, "one example of class b",
    ),
    "not a text": (
        lambda here: (here / "x.csv").write_bytes(b"\xff\xfe\x00"), "table", {"file": "x.csv", "target": "k"},
        "cannot be read",
    ),
    "no first": (lambda here: None, "samples", {}, "dataset.first=null: give a .npy file of samples"),
    "few samples": (
        lambda here: npy("a.npy", VECTORS), "samples", {"first": "a.npy", "second": "a.npy"}, "60 samples, too few",
    ),
    "samples of two shapes": (
        lambda here: (npy("a.npy", RANDOM.normal(size=(100, 2))), npy("b.npy", RANDOM.normal(size=(100, 3)))),
        "samples", {"first": "a.npy", "second": "b.npy"}, "dataset.first of .2,. and dataset.second of .3,.",
    ),
    "more than there are": (
        lambda here: npy("a.npy", RANDOM.normal(size=(200, 2))), "samples",
        {"first": "a.npy", "second": "a.npy", "evaluation_samples": 81}, "there are 80 samples a side for that",
    ),
    "nothing left": (
        lambda here: npy("a.npy", RANDOM.normal(size=(200, 2))), "samples",
        {"first": "a.npy", "second": "a.npy", "training": 0.9, "selection": 0.1}, "leave 0 samples",
    ),
    "texts": (
        lambda here: npy("a.npy", numpy.array([["a"]] * 200)), "samples", {"first": "a.npy", "second": "a.npy"}, "<U1",
    ),
    "samples not finite": (
        lambda here: npy("a.npy", numpy.full((200, 2), numpy.inf)), "samples", {"first": "a.npy", "second": "a.npy"},
        "holds NaN or infinity",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("write", "name", "keys", "said"), BAD.values(), ids=BAD)
def test_bad_data_are_one_message(write, name, keys, said, option, here):
    write(here)
    given = option(name, **keys)
    if hasattr(given, "cache"):
        given = dataclasses.replace(given, cache=".")
    load = load_pair if name == "samples" else load_files
    with pytest.raises(UserError, match=said) as refused:
        load(given)
    assert len(refused.value.problems) == 1
