"""Run directories whose saved overrides or checkpoints are damaged, or would run code."""

import gzip
import itertools
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from lipnet.runs import checkpoint
from malformed import MARK, Case, flip, lipnet

OVERRIDES = {
    "a target": f"- +hydra.callbacks.a._target_=os.system\n- +hydra.callbacks.a.command='touch {MARK}'",
    "a target of a model": "- +model._target_=os.system",
    "Hydra's own": "- hydra.run.dir=/tmp/elsewhere",
    "a launcher": "- hydra/launcher=basic",
    "a search path": "- hydra.searchpath=[file:///tmp]",
    "the environment": "- dataset.limit_train=${oc.env:SHLVL}",
    "an unknown resolver": "- seed=${shell:id}",
    "an unknown key": "- epoch=3",
    "an unknown option": "- model=smal",
    "an option that climbs": "- model=../../etc/passwd",
    "no override": "- '{{{'",
    "a sweep": "- seed=1,2",
    "a number": "3",
    "a text": "epochs=3",
    "a dict": "epochs: 3",
    "a list of numbers": "- 3",
    "a list of lists": "- [epochs=3]",
    "a tag of Python": f"- !!python/object/apply:os.system ['touch {MARK}']",
    "no YAML": "- [",
    "another model": "- model=fc",
    "other epochs": "- epochs=7",
}  # fmt: skip


def copy_run(base: Path, folder: Path) -> Path:
    """A run that was stopped: all its files but for the results."""
    run = Path(shutil.copytree(base / "run", folder / "run"))
    (run / "results.json").unlink()
    for path in (run / "checkpoints").iterdir():
        if path.name not in ("best.pt", "last.pt"):
            path.unlink()
    return run


def reading(folder: Path, run: Path) -> dict[str, list[str]]:
    """The commands that read a run directory."""
    elsewhere = f"hydra.run.dir={folder / 'out'}"
    return {
        "resume": [f"resume={run}"],
        "evaluate": ["task=evaluate", f"run={run}", elsewhere],
        "export": ["task=export", f"run={run}", "task.onnx=false", elsewhere],
    }


def saved_overrides(base: Path) -> Iterator[Case]:
    """``.hydra/overrides.yaml`` of a run that is continued or evaluated."""
    for command, (name, text) in itertools.product(("resume", "evaluate"), OVERRIDES.items()):

        def prepare(folder: Path, text: str = text, command: str = command) -> list[str]:
            run = copy_run(base, folder)
            (run / ".hydra" / "overrides.yaml").write_text(text + "\n")
            return reading(folder, run)[command]

        yield Case("saved overrides", f"{command}: {name}", prepare, lipnet)


class Malicious:
    """Touches a file when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (os.system, (f"touch {MARK}",))


def _changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = checkpoint.load(path)
        change(content)
        torch.save(content, path)

    return apply


def _first(content: dict[str, Any]) -> tuple[str, torch.Tensor]:
    return next((name, tensor) for name, tensor in content["model"].items() if tensor.is_floating_point())


def _poison(value: float) -> Callable[[dict[str, Any]], Any]:
    return lambda content: _first(content)[1].view(-1).__setitem__(0, value)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "without its last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("these are my weights"),
    "gzipped": lambda path: path.write_bytes(gzip.compress(path.read_bytes())),
    "a malicious pickle": lambda path: path.write_bytes(pickle.dumps(Malicious())),
    "a malicious pickle by torch": lambda path: torch.save({"format": 1, "model": Malicious()}, path),
    "a malicious pickle, old style": lambda path: torch.save(
        {"format": 1, "model": Malicious()}, path, _use_new_zipfile_serialization=False
    ),
    "a whole module": lambda path: torch.save(torch.nn.Linear(2, 2), path),
    "a tensor": lambda path: torch.save(torch.ones(2), path),
    "a list": lambda path: torch.save([1, 2], path),
    "another format": _changed(lambda content: content.update(format=99)),
    "no format": _changed(lambda content: content.pop("format")),
    "no model": _changed(lambda content: content.pop("model")),
    "a model that is a text": _changed(lambda content: content.update(model="weights")),
    "an empty model": _changed(lambda content: content.update(model={})),
    "numbers for tensors": _changed(lambda content: content.update(model=dict.fromkeys(content["model"], 1.0))),
    "names that are numbers": _changed(lambda content: content.update(model={1: torch.ones(2)})),
    "a missing layer": _changed(lambda content: content["model"].pop(_first(content)[0])),
    "a layer too many": _changed(lambda content: content["model"].update({"9.weight": torch.ones(2)})),
    "another shape": _changed(lambda content: content["model"].update({_first(content)[0]: torch.ones(3, 3, 3)})),
    "whole numbers": _changed(
        lambda content: content["model"].update({_first(content)[0]: _first(content)[1].to(torch.int32)})
    ),
    "half precision": _changed(
        lambda content: content["model"].update({_first(content)[0]: _first(content)[1].half()})
    ),
    "a sparse tensor": _changed(
        lambda content: content["model"].update({_first(content)[0]: _first(content)[1].to_sparse()})
    ),
    "NaN": _changed(_poison(float("nan"))),
    "infinity": _changed(_poison(float("inf"))),
    "no configuration": _changed(lambda content: content.pop("config")),
    "a configuration that is a list": _changed(lambda content: content.update(config=[1])),
    "another architecture": _changed(lambda content: content["config"]["model"].update(channels=[8, 8])),
    "an unknown option": _changed(lambda content: content["config"].update(model={"name": "../../etc/passwd"})),
    "an option that is no text": _changed(lambda content: content["config"].update(model={"name": ["small"]})),
    "an option that is a number": _changed(lambda content: content["config"].update(model=3)),
    "a target": _changed(lambda content: content["config"]["model"].update({"_target_": "os.system"})),
    "an unknown key": _changed(lambda content: content["config"].update(epoch=3)),
    "the environment": _changed(lambda content: content["config"].update(seed="${oc.env:SHLVL}")),
    "an interpolation": _changed(lambda content: content["config"]["dataset"].update(mean="${eval_radii}")),
    "a tensor in the configuration": _changed(lambda content: content["config"].update(seed=torch.ones(1))),
    "no progress": _changed(lambda content: content.pop("progress")),
    "a progress without an epoch": _changed(lambda content: content["progress"].pop("epoch")),
    "an epoch that is a text": _changed(lambda content: content["progress"].update(epoch="3")),
}  # fmt: skip
OF_TRAINING: dict[str, Callable[[Path], Any]] = {  # parts that only a continued run reads
    "no optimizer": _changed(lambda content: content.pop("optimizer")),
    "an empty optimizer": _changed(lambda content: content.update(optimizer={})),
    "another optimizer": _changed(lambda content: content["optimizer"]["param_groups"].pop()),
    "an update that is a text": _changed(lambda content: content.update(update="x")),
    "an update of another kind": _changed(lambda content: content.update(update={"mean": 1.0})),
    "no random state": _changed(lambda content: content.pop("rng")),
    "a short random state": _changed(lambda content: content.update(rng=torch.zeros(3, dtype=torch.uint8))),
    "a random state of floats": _changed(lambda content: content.update(rng=torch.zeros(5056))),
    "an unknown progress": _changed(lambda content: content["progress"].update(step=3)),
    "a negative epoch": _changed(lambda content: content["progress"].update(epoch=-1)),
    "a best score of text": _changed(lambda content: content["progress"].update(best_score="high")),
}  # fmt: skip
OF_EVALUATION = ("a progress without an epoch", "an epoch that is a text")  # told by what is shown beside the results


def checkpoints(base: Path, fuzz: int) -> Iterator[Case]:
    """``last.pt`` of a run that is continued, ``best.pt`` of one that is evaluated or exported."""
    tables = {"resume": DAMAGE | OF_TRAINING, "evaluate": DAMAGE, "export": DAMAGE}
    for command, table in tables.items():
        for name, damage in table.items():
            if command != "resume" or name != "missing":  # without a checkpoint a run starts anew
                yield Case("checkpoints", f"{command}: {name}", _damaged(base, command, damage), lipnet)
    for number in range(fuzz):
        damaged = _damaged(base, "evaluate", lambda path, number=number: flip(path, number))
        yield Case("random checkpoints", str(number), damaged, lipnet, harmless=True)


def _damaged(base: Path, command: str, damage: Callable[[Path], Any]) -> Callable[[Path], list[str]]:
    def prepare(folder: Path) -> list[str]:
        run = copy_run(base, folder)
        damage(run / "checkpoints" / ("last.pt" if command == "resume" else "best.pt"))
        return reading(folder, run)[command]

    return prepare
