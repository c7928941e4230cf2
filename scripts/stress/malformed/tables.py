"""Run directories that are damaged or odd, where ``lipnet-results`` makes a table of them and of one that is whole."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lipnet.results.__main__ import main
from lipnet.results.layout import FORMATS
from malformed import Case


def _results(**changes: Any) -> Callable[[Path], None]:
    def apply(run: Path) -> None:
        content = json.loads((run / "results.json").read_text())
        (run / "results.json").write_text(json.dumps(content | changes))

    return apply


def _bytes(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda run: (run / name).write_bytes(content)


def _looped(run: Path) -> None:
    (run / "results.json").unlink()
    (run / "results.json").symlink_to("results.json")
    (run / "above").symlink_to(run.parent)


RUN_DAMAGE: dict[str, Callable[[Path], Any]] = {
    "empty results": _bytes("results.json", b""),
    "results of NUL bytes": _bytes("results.json", bytes(3000)),
    "half of the results": lambda run: _bytes("results.json", (run / "results.json").read_bytes()[:99])(run),
    "results in Latin-1": _bytes("results.json", b'{"error": "caf\xe9"}'),
    "a list of results": _bytes("results.json", b"[1, 2]"),
    "deep results": _bytes("results.json", b"[" * 100_000),
    "an infinite accuracy": _results(clean_accuracy=float("inf")),
    "an accuracy of text": _results(clean_accuracy="0.9"),
    "a huge Lipschitz constant": _results(lipschitz_upper_bound=10**400),
    "a radius of many digits": _results(certified_accuracy={"1e999999999": 0.5}),
    "versions in a list": _results(versions=["torch"]),
    "a distance in a list": _results(wasserstein=[1]),
    "a link to itself": _looped,
    "a copy": lambda run: None,
    "a configuration of NUL bytes": _bytes(".hydra/config.yaml", bytes(500)),
    "a configuration in UTF-16": _bytes(".hydra/config.yaml", "seed: 1".encode("utf-16")),
    "certificates of NUL bytes": _bytes("certificates.csv", bytes(500)),
    "curves that are cut": lambda run: _bytes("metrics.csv", (run / "metrics.csv").read_bytes()[:-9])(run),
}


def damaged_runs(base: Path) -> Iterator[Case]:
    """Each beside the run that it was made of; the tables must show that one and name the other."""
    for name, damage in RUN_DAMAGE.items():

        def prepare(folder: Path, damage: Callable[[Path], Any] = damage) -> list[str]:
            (folder / "runs").mkdir()
            shutil.copytree(base / "run", folder / "runs" / "good")
            bad = Path(shutil.copytree(base / "run", folder / "runs" / os.fsdecode(b"caf\xe9")))
            if damage is not RUN_DAMAGE["a copy"]:
                _results(started="another time", seed=1)(bad)
            damage(bad)
            return [str(folder / "runs"), "--html", str(folder / "report.html"), "--figures", str(folder / "figures")]

        yield Case("damaged runs", name, prepare, _table)


def _table(given: list[str]) -> int:
    """All formats; 1, as for what is refused, where the whole run is in each."""
    for name in FORMATS:
        main([*given[:1], "--format", name, "--output", name])
        if "bcop" not in Path(name).read_text(encoding="utf-8"):
            raise AssertionError(f"{name}: the whole run is missing")
    main(given)
    return 1
