"""Exported networks whose weights or certificate are damaged, or would run code."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lipnet.export.__main__ import main as certify
from malformed import Case, flip
from malformed.runs import DAMAGE


def _rewritten(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = json.loads((path / "certificate.json").read_text())
        change(content)
        (path / "certificate.json").write_text(json.dumps(content))

    return apply


def _text(content: str) -> Callable[[Path], Any]:
    return lambda path: (path / "certificate.json").write_text(content)


KEYS = ("format", "lipschitz_upper_bound", "input", "layers", "weights", "probe", "files", "sha256")
EXPORT_DAMAGE: dict[str, Callable[[Path], Any]] = {
    **{f"without {key}": _rewritten(lambda content, key=key: content.pop(key)) for key in KEYS},
    **{f"{key} is null": _rewritten(lambda content, key=key: content.update({key: None})) for key in KEYS},
    **{f"{key} is a text": _rewritten(lambda content, key=key: content.update({key: "x"})) for key in KEYS},
    **{f"{key} is an empty list": _rewritten(lambda content, key=key: content.update({key: []})) for key in KEYS},
    **{f"weights: {name}": (lambda path, damage=damage: damage(path / "weights.pt"))
       for name, damage in DAMAGE.items() if damage.__name__ != "apply"},
    "no JSON": _text("{"), "empty": _text(""), "a number": _text("3"), "NaN": _text('{"format": NaN}'),
    "deep": _text("[" * 100_000), "a list of layers that are numbers": _rewritten(lambda c: c.update(layers=[1, 2])),
    "a file that climbs": _rewritten(lambda c: c["files"].update({"../../../etc/passwd": "0"})),
    "an absolute file": _rewritten(lambda c: c["files"].update({"/etc/passwd": "0"})),
    "a layer of code": _rewritten(lambda c: c["layers"][0].update(type="os.system")),
    "a block without parts": _rewritten(lambda c: c["layers"].append({"name": "9", "type": "Residual"})),
    "a layer inside of another": _rewritten(lambda c: c["layers"][1].update(name="0.0")),
    "a huge layer": _rewritten(lambda c: c["layers"][-1].update(out_features=10**15)),
    "a huge input": _rewritten(lambda c: c["input"].update(shape=[10**9, 10**9])),
    "a negative input": _rewritten(lambda c: c["input"].update(shape=[-1, 8, 8])),
    "missing": lambda path: (path / "certificate.json").unlink(),
}  # fmt: skip


def exports(base: Path, fuzz: int) -> Iterator[Case]:
    """Each where its certificate is checked."""

    def damaged(damage: Callable[[Path], Any]) -> Callable[[Path], list[str]]:
        def prepare(folder: Path) -> list[str]:
            copy = Path(shutil.copytree(base / "exported", folder / "exported"))
            damage(copy)
            return [str(copy)]

        return prepare

    for name, damage in EXPORT_DAMAGE.items():
        yield Case("exports", name, damaged(damage), certify)
    for number, file in itertools.product(range(fuzz // 2), ("weights.pt", "certificate.json")):
        yield Case(
            "random exports", f"{file} {number}",
            damaged(lambda path, number=number, file=file: flip(path / file, number)), certify,
        )  # fmt: skip
