"""Commands that would start a run in the directory of another one: not a byte of it may change."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from lipnet.runs.lock import alone_in
from malformed import TINY, Case, lipnet

OTHER = (*TINY, "conv=rko")
# Each with D a completed run and E a copy of it; {folder} is the working directory.
COMMANDS = {
    "another method": [*OTHER, "hydra.run.dir=D"],
    "another method, by the whole path": [*OTHER, "hydra.run.dir={folder}/D"],
    "another method, by a link": [*OTHER, "hydra.run.dir=link"],
    "another method, with a slash": [*OTHER, "hydra.run.dir=D/"],
    "another method, with dots": [*OTHER, "hydra.run.dir=D/../D"],
    "another method, quoted": [*OTHER, "hydra.run.dir='D'"],
    "another method, added": [*OTHER, "++hydra.run.dir=D"],
    "another method, under chdir": [*OTHER, "hydra.run.dir=D", "hydra.job.chdir=true"],
    "another seed": [*TINY, "seed=1", "hydra.run.dir=D"],
    "other radii": [*TINY, "eval_radii=[0.7]", "hydra.run.dir=D"],
    "other epochs": [*TINY, "epochs=9", "hydra.run.dir=D"],
    "another network": [*TINY, "model.hidden=[4]", "hydra.run.dir=D"],
    "debugging": [*TINY, "debug=fast", "hydra.run.dir=D"],
    "another task": ["task=wasserstein", "dataset=cone", "model=fc", "hydra.run.dir=D"],
    "the defaults": ["hydra.run.dir=D"],
    "Hydra's files elsewhere": [*OTHER, "hydra.run.dir=D", "hydra.output_subdir=conf"],
    "Hydra's files nowhere": [*OTHER, "hydra.run.dir=D", "hydra.output_subdir=null"],
    "a rerun": ["rerun=E", "seed=5", "hydra.run.dir=D"],
    "an evaluation": ["task=evaluate", "run=E", "hydra.run.dir=D"],
    "an export": ["task=export", "run=E", "task.onnx=false", "hydra.run.dir=D"],
    "a sweep": ["-m", *TINY, "seed=0,1", "hydra.sweep.dir=D"],
    "a ready-made sweep": ["sweep=seeds", *TINY, "hydra.sweep.dir=D"],
    "a job": ["-m", *OTHER, "hydra.sweep.dir=.", "hydra.sweep.subdir=D"],
    "all jobs": ["-m", *TINY, "seed=0,1", "hydra.sweep.dir=.", "hydra.sweep.subdir=D"],
    "its checkpoints": [*TINY, "hydra.run.dir=D/checkpoints"],
    "its configuration": [*TINY, "hydra.run.dir=D/.hydra"],
    "continued by another seed": ["resume=D", "seed=1"],
    "continued by another network": ["resume=D", "model=fc"],
    "continued elsewhere": ["resume=D", "hydra.run.dir=F"],
    "continued as a sweep": ["-m", "resume=D", "seed=0,1"],
    "evaluated by another network": ["task=evaluate", "run=D", "model.hidden=[4]"],
}  # fmt: skip
CONFIGURATIONS = {
    "missing": None, "empty": b"", "no table": b"- 1", "NUL": bytes(500), "UTF-16": "seed: 1".encode("utf-16"),
    "no YAML": b"seed: [", "the environment": b"seed: ${oc.env:SHLVL}", "an unknown key": b"epoch: 3",
}  # fmt: skip


def occupied(base: Path) -> Iterator[Case]:
    """Each command beside a completed run, one that was stopped and one that is going on; damaged configurations."""

    def prepare(folder: Path, command: list[str], state: str = "completed") -> list[str]:
        for name in ("D", "E"):
            shutil.copytree(base / "run", folder / name)
        (folder / "link").symlink_to("D")
        if state != "completed":
            (folder / "D" / "results.json").unlink()
        return [part.replace("{folder}", str(folder)) for part in command]

    for name, command in COMMANDS.items():
        yield _case(name, lambda folder, command=command: prepare(folder, command))
    for name in ("another method", "a rerun", "an evaluation", "a sweep", "a job"):
        stopped = lambda folder, name=name: prepare(folder, COMMANDS[name], "stopped")  # noqa: E731
        yield _case(f"{name}, of a stopped run", stopped)
    yield _case(
        "another method, of a run that is going on",
        lambda folder: prepare(folder, COMMANDS["another method"], "stopped"),
        going_on=True,
    )
    yield _case("a run that is going on", lambda folder: prepare(folder, [*TINY, "hydra.run.dir=D"], "stopped"), True)
    yield _case("continuing a run that is going on", lambda folder: prepare(folder, ["resume=D"], "stopped"), True)
    for name, content in CONFIGURATIONS.items():

        def damaged(folder: Path, content: bytes | None = content) -> list[str]:
            given = prepare(folder, COMMANDS["another method"], "stopped")
            path = folder / "D" / ".hydra" / "config.yaml"
            path.unlink() if content is None else path.write_bytes(content)
            return given

        yield _case(f"a configuration: {name}", damaged)


def _case(name: str, prepare: Callable[[Path], list[str]], going_on: bool = False) -> Case:
    def held(given: list[str]) -> int:
        with alone_in(Path("D")) if going_on else contextlib.nullcontext():
            return lipnet(given)

    return Case("run directories", name, prepare, held, untouched=True)
