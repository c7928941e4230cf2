"""A user's own data, code and networks with a fault in them, and files that would run code."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import torch
import yaml
from PIL import Image
from torch import nn

from lipnet.export.__main__ import main as judge
from malformed import MARK, Case, lipnet
from malformed.runs import Malicious

FEW = ["epochs=1", "batch_size=16", "attack.names=[]", "threads=1", "device=cpu", "progress=off"]
EVIL = f"open({MARK!r}, 'w').close()\n"


def pictures(folder: Path, classes: str = "ab", count: int = 6, size: tuple[int, int] = (8, 8)) -> Path:
    """A folder a class."""
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", size, (10 * number, 0, ord(name))).save(folder / name / f"{number}.png")
    return folder


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


FOLDERS: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda root: root.mkdir(),
    "one class": lambda root: pictures(root, "a"),
    "an empty class": lambda root: (pictures(root), (root / "c").mkdir()),
    "two sizes": lambda root: (pictures(root), pictures(root, "c", size=(9, 9))),
    "a corrupt picture": lambda root: _cut(pictures(root) / "a" / "3.png"),
    "a corrupt first picture": lambda root: _cut(pictures(root) / "a" / "0.png"),
    "a text as a picture": lambda root: (pictures(root) / "a" / "9.png").write_text("<html>"),
    "an empty picture": lambda root: (pictures(root) / "a" / "9.jpg").touch(),
    "a document": lambda root: (pictures(root) / "b" / "notes.docx").touch(),
    "loose pictures": lambda root: Image.new("RGB", (8, 8)).save(pictures(root) / "x.png"),
    "sixteen bits": lambda root: Image.new("I;16", (8, 8)).save(pictures(root) / "a" / "9.png"),
    "one picture of a class": lambda root: pictures(root, count=1),
    "other classes in the test": lambda root: (pictures(root / "train"), pictures(root / "test", "ac")),
    "a name that is an interpolation": lambda root: pictures(root).joinpath("a").rename(root / "${oc.env:HOME}"),
    "a link to nothing": lambda root: (pictures(root) / "a" / "9.png").symlink_to("nothing"),
}  # fmt: skip
X, Y = numpy.random.default_rng(0).normal(size=(40, 3)), numpy.arange(40) % 2
ARRAYS: dict[str, dict[str, Any]] = {
    "no labels": {"x_train": X},
    "fewer labels": {"x_train": X, "y_train": Y[1:]},
    "labels beyond the test's": {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y / 3},
    "NaN": {"x_train": numpy.where(X > 1, numpy.nan, X), "y_train": Y},
    "five axes": {"x_train": X.reshape(40, 1, 1, 1, 3), "y_train": Y},
    "pixels beyond 1": {"x_train": 300.0 + X.reshape(40, 1, 3), "y_train": Y},
    "texts": {"x_train": X.astype(str), "y_train": Y},
    "objects": {"x_train": numpy.array([Malicious()] * 40, dtype=object), "y_train": Y},
    "one class": {"x_train": X, "y_train": 0 * Y},
    "no examples": {"x_train": X[:0], "y_train": Y[:0]},
}
TABLES = {
    "empty": "", "a header alone": "a,b,kind\n", "no number": "a,b,kind\n1,x,u\n2,3,v\n",
    "a missing cell": "a,b,kind\n1,,u\n2,3,v\n", "rows of other lengths": "a,b,kind\n1,2,u\n3,v\n",
    "infinity": "a,b,kind\n1,inf,u\n2,3,v\n", "beyond float32": "a,b,kind\n1,1e99,u\n2,3,v\n",
    "a name twice": "a,a,kind\n1,2,u\n2,3,v\n", "no such target": "a,b,sort\n1,2,u\n2,3,v\n",
    "one row a class": "a,b,kind\n1,2,u\n2,3,v\n", "one class": "a,b,kind\n1,2,u\n2,3,u\n",
}  # fmt: skip
PLUGINS = {
    "syntax": "def (", "an error": "1 / 0", "a missing import": "import no_such_package_at_all", "an exit": "exit(3)",
    "a name twice": "from lipnet.options import register\nregister('activation', 'relu', code='torch.nn:ReLU')\n",
    "no group": "from lipnet.options import register\nregister('activations', 'x')\n",
    "an attack twice": "from lipnet.options import register_attack\nregister_attack('pgd', print)\n",
    "a key without a default": "from dataclasses import dataclass\nfrom lipnet.options import *\n"
    "@dataclass(frozen=True)\nclass K(Named):\n    x: int = checked(whole(1))\nregister('loss', 'x', K)\n",
}  # fmt: skip
NETWORKS = {
    "no function": "", "no network": "def build(): return 3\n", "an error": "def build(): 1 / 0\n",
    "another size": "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(9, 10))\n",
    "few outputs": "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))\n",
    "no rule": "from torch import nn\n"
    "def build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))\n",
}  # fmt: skip


def own() -> Iterator[Case]:
    """Each where a run would use it."""
    yield from _data()
    yield from _code()
    yield from _graphs()


def _data() -> Iterator[Case]:
    for name, damage in FOLDERS.items():

        def folder_of(folder: Path, damage: Callable[[Path], Any] = damage) -> list[str]:
            damage(folder / "root")
            return ["dataset=image_folder", "dataset.root=root", "dataset.cache=.", "hydra.run.dir=out", *FEW]

        yield Case("own data", f"pictures: {name}", folder_of, lipnet)
    for name, arrays in ARRAYS.items():

        def arrays_of(folder: Path, arrays: dict[str, Any] = arrays) -> list[str]:
            numpy.savez(folder / "x.npz", **arrays)
            return ["dataset=arrays", "dataset.file=x.npz", "model=fc", "hydra.run.dir=out", *FEW]

        yield Case("own data", f"arrays: {name}", arrays_of, lipnet)
    for name, text in TABLES.items():

        def table_of(folder: Path, text: str = text) -> list[str]:
            (folder / "x.csv").write_text(text)
            return ["dataset=table", "dataset.file=x.csv", "dataset.target=kind", "hydra.run.dir=out", *FEW]

        yield Case("own data", f"table: {name}", table_of, lipnet)
    for name, first in {"few": X, "texts": X.astype(str), "NaN": numpy.full((200, 3), numpy.nan)}.items():

        def samples_of(folder: Path, first: numpy.ndarray = first) -> list[str]:
            numpy.save(folder / "a.npy", first)
            numpy.save(folder / "b.npy", numpy.zeros((200, 3)))
            few = [word for word in FEW if "attack" not in word]
            given = ["dataset.first=a.npy", "dataset.second=b.npy", "hydra.run.dir=out"]
            return ["task=wasserstein", "dataset=samples", *given, *few]

        yield Case("own data", f"samples: {name}", samples_of, lipnet)


def _code() -> Iterator[Case]:
    for number, (name, text) in enumerate(PLUGINS.items()):

        def plugin(folder: Path, text: str = text, module: str = f"damaged_{number}") -> list[str]:
            (folder / f"{module}.py").write_text(text)
            return [f"plugins=[{module}]", "hydra.run.dir=out", *FEW]

        yield Case("own code", f"plugin: {name}", plugin, lipnet)
    for number, (name, text) in enumerate(NETWORKS.items()):

        def network(folder: Path, text: str = text, module: str = f"network_{number}") -> list[str]:
            (folder / f"{module}.py").write_text(text)
            return ["model=module", f"model.build={module}:build", "hydra.run.dir=out", *FEW]

        yield Case("own code", f"network: {name}", network, lipnet)
    yield Case("own code", "a plugin that is missing", lambda folder: ["plugins=[no_such_plugin]", *FEW], lipnet)
    yield Case("own code", "a plugin that is a file", lambda folder: ["plugins=[evil.py]", *FEW], lipnet)
    yield Case("own code", "plugins that are no list", lambda folder: ["plugins=evil", *FEW], lipnet)
    yield Case("own code", "a file that names a plugin", _named_in_a_file, lipnet)
    for command in ("resume=run", "rerun=run", "task=evaluate run=run", "task=export run=run"):

        def recorded(folder: Path, command: str = command) -> list[str]:
            (folder / "evil.py").write_text(EVIL)
            hydra = folder / "run" / ".hydra"
            hydra.mkdir(parents=True)
            (hydra / "overrides.yaml").write_text(yaml.safe_dump(["plugins=[evil]", "model.build=evil:build"]))
            (hydra / "config.yaml").write_text(yaml.safe_dump({"plugins": ["evil"], "model": {"name": "module"}}))
            return command.split()

        yield Case("own code", f"a run that names code: {command}", recorded, lipnet)
    for name, content in {
        "a pickle": Malicious(),
        "no dict": [1, 2],
        "NaN": {"1.weight": torch.tensor(float("nan"))},
    }.items():

        def weights(folder: Path, content: Any = content) -> list[str]:
            text = "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
            (folder / "network_of_weights.py").write_text(text)
            torch.save(content, folder / "w.pt")
            given = ["model=module", "model.build=network_of_weights:build", "model.weights=w.pt"]
            return ["task=evaluate", *given, "hydra.run.dir=out", "threads=1", "progress=off"]

        yield Case("own code", f"weights: {name}", weights, lipnet)


def _named_in_a_file(folder: Path) -> list[str]:
    (folder / "evil.py").write_text(EVIL)
    (folder / "own" / "experiment").mkdir(parents=True)
    (folder / "own" / "experiment" / "x.yaml").write_text("# @package _global_\nplugins: [evil]\n")
    return ["--config-dir", "own", "experiment=x", *FEW]


class _Product(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * inputs


def _graphs() -> Iterator[Case]:
    for name, network in {
        "a product": _Product(),
        "softmax": nn.Softmax(1),
        "overlapping maxima": nn.MaxPool2d(3, 1),
    }.items():

        def program(folder: Path, network: nn.Module = network) -> list[str]:
            exported = torch.export.export(network.eval(), (torch.rand(2, 1, 4, 4),))
            torch.export.save(exported, folder / "x.pt2")
            return ["x.pt2"]

        yield Case("own graphs", name, program, judge)
    contents: dict[str, bytes] = {"empty": b"", "text": b"<html>", "JSON": json.dumps([1]).encode()}
    for suffix in ("pt2", "onnx"):
        for name, content in contents.items():

            def file(folder: Path, suffix: str = suffix, content: bytes = content) -> list[str]:
                (folder / f"x.{suffix}").write_bytes(content)
                return [f"x.{suffix}"]

            yield Case("own graphs", f"{suffix}: {name}", file, judge)
        yield Case("own graphs", f"{suffix}: missing", lambda folder, suffix=suffix: [f"y.{suffix}"], judge)

    def pickled(folder: Path) -> list[str]:
        torch.save(Malicious(), folder / "x.pt2")
        return ["x.pt2"]

    yield Case("own graphs", "a pickle", pickled, judge)

    def half(folder: Path) -> list[str]:
        exported = torch.export.export(nn.Flatten(), (torch.rand(2, 1, 4, 4),))
        torch.export.save(exported, folder / "x.pt2")
        _cut(folder / "x.pt2")
        return ["x.pt2"]

    yield Case("own graphs", "half a program", half, judge)
